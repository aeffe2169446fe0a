"""Each piece of text is a block, too."""

import math

import torch


def answer(layout):
    sizes = [part if isinstance(part, int) else math.prod(part) for part in layout]
    number = torch.repeat_interleave(torch.tensor(sizes))
    return number.unsqueeze(1) >= number


HINT = "text is treated like an image"
