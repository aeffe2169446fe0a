"""Turns query and key by the gap."""


def answer(q, k, gap):
    a, b = q[:, None, 0::2], q[:, None, 1::2]
    c, d = k[None, :, 0::2], k[None, :, 1::2]
    a, b = a * gap.cos() - b * gap.sin(), a * gap.sin() + b * gap.cos()
    turned_c = c * gap.cos() - d * gap.sin()
    turned_d = c * gap.sin() + d * gap.cos()
    return (a * turned_c + b * turned_d).sum(-1)


HINT = "the gap makes no difference"
