"""Makes the second number from the new first one."""

import torch


def answer(x, places, theta):
    K = x.shape[-1]
    angle = torch.outer(places, theta ** -(torch.arange(0, K, 2) / K))
    a, b = x.chunk(2, dim=-1)
    new_a, new_b = (c := a * angle.cos() - b * angle.sin()), c * angle.sin() + b * angle.cos()
    return torch.cat([new_a, new_b], dim=-1)


HINT = "longer or shorter"
