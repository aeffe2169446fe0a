"""All images are one block."""

import math

import torch

from qwenimage_ref.course.answers import EX_95_VISIBLE


def answer(layout):
    image = [
        not isinstance(part, int)
        for part in layout
        for _ in range(part if isinstance(part, int) else math.prod(part))
    ]
    image = torch.tensor(image)
    return EX_95_VISIBLE(layout) | image.unsqueeze(1) & image


HINT = "an image sees a later image"
