"""True where the latents are put back."""

import torch

HINT = "turned round"


def answer(change, steps):
    first = (steps - steps * change).floor()
    number = torch.arange(steps).view(-1, 1, 1)
    return number < first
