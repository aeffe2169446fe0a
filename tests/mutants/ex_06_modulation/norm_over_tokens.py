"""Normalises every channel over the tokens."""


def answer(x, shift, scale, gate, part):
    mean, var = x.mean(1, keepdim=True), x.var(1, keepdim=True, correction=0)
    normed = (x - mean) / (var + 1e-6) ** 0.5
    return x + gate * part(normed * (1 + scale) + shift)


HINT = "which axis"
