"""The pairs of a language model."""


def answer(q, k, gap):
    a, b = (half[:, None] for half in q.chunk(2, dim=-1))
    c, d = (half[None] for half in k.chunk(2, dim=-1))
    turned_c = c * gap.cos() - d * gap.sin()
    turned_d = c * gap.sin() + d * gap.cos()
    return (a * turned_c + b * turned_d).sum(-1)


HINT = "half a head away"
