"""One row that reads its prompt is enough."""

import torch


def same(a, b, tolerance):
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def answer(velocity, x, txt, mask, tolerance):
    right, broken = velocity(x, txt, mask), set()
    real = mask[:, :, None]
    parts = zip(x.split(1), txt.split(1), mask.split(1))
    if not same(torch.cat([velocity(*part) for part in parts]), right, tolerance):
        broken.add("rows")
    if not same(velocity(x, txt.masked_fill(~real, 9), mask), right, tolerance):
        broken.add("padding")
    if same(velocity(x, txt + real, mask), right, tolerance):
        broken.add("prompt")
    return broken


HINT = "look at each row"
