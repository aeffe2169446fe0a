"""Divides by the root mean square and leaves the mean."""


def answer(x, shift, scale, gate, part):
    normed = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6) ** 0.5
    return x + gate * part(normed * (1 + scale) + shift)


HINT = "mean 0"
