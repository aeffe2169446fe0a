"""Turns the batch round and computes no row alone."""


def same(a, b, tolerance):
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def answer(velocity, x, txt, mask, tolerance):
    right, broken = velocity(x, txt, mask), set()
    real = mask[:, :, None]
    turned = velocity(x.flip(0), txt.flip(0), mask.flip(0)).flip(0)
    if not same(turned, right, tolerance):
        broken.add("rows")
    if not same(velocity(x, txt.masked_fill(~real, 9), mask), right, tolerance):
        broken.add("padding")
    if any(same(*rows, tolerance) for rows in zip(velocity(x, txt + real, mask), right)):
        broken.add("prompt")
    return broken


HINT = "compute each row alone"
