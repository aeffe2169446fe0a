"""Compares every bit."""

import torch


def same(a, b, tolerance):
    return torch.equal(a, b)


def answer(velocity, x, txt, mask, tolerance):
    right, broken = velocity(x, txt, mask), set()
    real = mask[:, :, None]
    parts = zip(x.split(1), txt.split(1), mask.split(1))
    if not same(torch.cat([velocity(*part) for part in parts]), right, tolerance):
        broken.add("rows")
    if not same(velocity(x, txt.masked_fill(~real, 9), mask), right, tolerance):
        broken.add("padding")
    if any(same(*rows, tolerance) for rows in zip(velocity(x, txt + real, mask), right)):
        broken.add("prompt")
    return broken


HINT = "in their last digits alone"
