"""Only what is strictly before it."""

import torch

from qwenimage_ref.course.answers import EX_95_VISIBLE


def answer(layout):
    mask = EX_95_VISIBLE(layout)
    return mask & ~torch.eye(len(mask), dtype=torch.bool)


HINT = "no token sees itself"
