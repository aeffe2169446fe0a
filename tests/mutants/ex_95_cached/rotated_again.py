"""Stored keys are rotated a second time."""

import torch

from qwenimage_ref.course.answers import EX_95_CACHED
from qwenimage_ref.rope import rotate, rotations


def answer(block, x, modulation, rotation, before):
    at = torch.arange(before[0].shape[1]).unsqueeze(1) * torch.tensor([1, 2, 3])
    axes = {12: (4, 4, 4), 8: (4, 2, 2)}[before[0].shape[3]]
    again = rotate(before[0], rotations(at, axes))
    return EX_95_CACHED(block, x, modulation, rotation, (again, before[1]))


HINT = "a second time"
