"""Forgets the part across."""


def answer(q, k, gap):
    a, b = q[:, None, 0::2], q[:, None, 1::2]
    c, d = k[None, :, 0::2], k[None, :, 1::2]
    turned_c = c * gap.cos()
    turned_d = d * gap.cos()
    return (a * turned_c + b * turned_d).sum(-1)


HINT = "scaled by a cosine"
