"""Adds 1e-6 to the deviation."""


def answer(x, shift, scale, gate, part):
    deviation = x.var(-1, keepdim=True, correction=0) ** 0.5
    normed = (x - x.mean(-1, keepdim=True)) / (deviation + 1e-6)
    return x + gate * part(normed * (1 + scale) + shift)


HINT = "before the root"
