"""Takes the deviation as torch gives it, of a sample."""


def answer(x, shift, scale, gate, part):
    normed = (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)
    return x + gate * part(normed * (1 + scale) + shift)


HINT = "divides by D"
