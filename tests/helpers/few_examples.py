"""What objectives train the small network on: prompts, taught pictures, examples."""

import torch

from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.distill import Taught
from qwenimage_ref.train.prompts import Prompt

from .nets import SMALL

WIDTH, SHAPE = SMALL.joint_attention_dim, (16, 4, 6)
EMPTY = torch.ones(2, WIDTH)


def _states(rng, i):
    return torch.randn(3 + i % 2, WIDTH, generator=rng)


def prompts(count=3) -> list[Prompt]:
    rng = torch.Generator().manual_seed(0)
    return [Prompt(f"prompt {i}", _states(rng, i)) for i in range(count)]


def taught(count=4) -> list[Taught]:
    rng = torch.Generator().manual_seed(0)
    return [
        Taught(torch.randn(SHAPE, generator=rng), _states(rng, i), seed=100 + i)
        for i in range(count)
    ]


def examples(count=4) -> list[Encoded]:
    return [Encoded(one.latents, one.txt) for one in taught(count)]
