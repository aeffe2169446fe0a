"""Turns the key by the opposite gap."""


def answer(q, k, gap):
    a, b = q[:, None, 0::2], q[:, None, 1::2]
    c, d = k[None, :, 0::2], k[None, :, 1::2]
    turned_c = c * gap.cos() + d * gap.sin()
    turned_d = d * gap.cos() - c * gap.sin()
    return (a * turned_c + b * turned_d).sum(-1)


HINT = "turned the other way"
