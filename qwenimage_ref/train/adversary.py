"""The adversarial term of DMD2: real pictures and the student's are told apart by a small judge.

The judge reads the fake's image tokens behind its middle block, as in the paper (arXiv 2405.14867,
section 4.3), where they are those of a U-Net's bottleneck. It sees pictures under noise, so that
its slope is gentle, and learns in the fake's steps; in the student's own it is a loss. Without it
the student can be no better than its teacher: matching knows no other pictures.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..mmdit import layer_norm
from .dataset import Encoded
from .lora import Batches, padded
from .recipe import Recipe


def judge_loss(real, generated):
    """(B,), (B,) -> (): how badly real pictures and generated ones are told apart"""
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def fooling_loss(generated):
    """(B,) -> (): small where generated pictures are called real"""
    return F.softplus(-generated).mean()


class Judge(nn.Module):
    """(B, I, D) image tokens -> (B,) logits, above 0 where the picture is called real"""

    def __init__(self, dim: int, seed: int):
        super().__init__()
        self.hidden, self.out = nn.Linear(dim, dim), nn.Linear(dim, 1)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.hidden.weight.uniform_(-(dim**-0.5), dim**-0.5, generator=generator)
            # a new judge is undecided, and pulls at nothing
            for parameter in (self.hidden.bias, self.out.weight, self.out.bias):
                parameter.zero_()

    def forward(self, tokens):
        return self.out(F.silu(self.hidden(layer_norm(tokens.float())))).mean((1, 2))


class Watched:
    """An MMDiT whose image tokens behind the middle block stay in `tokens` after each call."""

    def __init__(self, mmdit: nn.Module):
        self.mmdit, self.middle = mmdit, (mmdit.config.num_layers - 1) // 2
        self.tokens: torch.Tensor | None = None

    def __call__(self, img, txt, sigma, grids, txt_mask=None):
        return self.mmdit(img, txt, sigma, grids, txt_mask, after_block=self._keep)

    def _keep(self, i: int, img):
        if i == self.middle:
            self.tokens = img
        return img


class RealPictures:
    """Batches of pictures with captions, all of one shape. In an epoch every picture comes once.

    shape: (C, h, w). Raises ValueError without a picture and for one of another shape.
    """

    def __init__(self, examples: list[Encoded], shape: tuple, recipe: Recipe, like: torch.Tensor):
        if not examples:
            raise ValueError("real must be at least one picture for the adversarial term, got none")
        for example in examples:
            if tuple(example.latents.shape) != tuple(shape):
                raise ValueError(
                    f"real must be pictures whose latents are {tuple(shape)}, as those that are "
                    f"painted, got {tuple(example.latents.shape)}; crop them or change the size"
                )
        self.examples, self.like = examples, like
        self._batches = Batches([shape] * len(examples), recipe.batch, recipe)

    def batch(self, number: int):
        """Latents (B, C, h, w), text states (B, T, Dt), their mask or None"""
        chosen = [self.examples[i] for i in self._batches[number]]
        txt, mask = padded([example.txt for example in chosen])
        latents = torch.stack([example.latents for example in chosen]).to(self.like)
        return latents, txt.to(self.like), None if mask is None else mask.to(self.like.device)
