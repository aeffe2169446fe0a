"""The gaps of the first query for all."""


def answer(q, k, gap):
    a, b = q[:, None, 0::2], q[:, None, 1::2]
    c, d = k[None, :, 0::2], k[None, :, 1::2]
    gap = gap[:1]
    turned_c = c * gap.cos() - d * gap.sin()
    turned_d = c * gap.sin() + d * gap.cos()
    return (a * turned_c + b * turned_d).sum(-1)


HINT = "of the first query serve all"
