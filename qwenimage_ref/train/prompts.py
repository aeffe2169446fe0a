"""Objectives without pictures: prompts, their text states, and noise for them."""

from dataclasses import dataclass

import torch

from ..pipeline import QwenImage
from .dataset import kept_states
from .lora import Batches, padded
from .recipe import Recipe
from .run_folder import RunFolder


@dataclass(frozen=True)
class Prompt:
    """What is painted, and its text states."""

    text: str
    txt: torch.Tensor  # (T, Dt)


def encode_prompts(
    pipe: QwenImage, texts: list[str], folder: RunFolder, weights: str = ""
) -> tuple[list[Prompt], torch.Tensor]:
    """Each prompt with its text states, and those of the empty one; kept as dataset.encode does"""
    prompts = [Prompt(text, kept_states(pipe, text, folder, weights)) for text in texts]
    return prompts, kept_states(pipe, " ", folder, weights)


class Prompts:
    """Batches of prompts with noise of one shape. In an epoch every prompt comes once."""

    def __init__(
        self,
        prompts: list[Prompt],
        empty: torch.Tensor,
        shape: tuple[int, int, int],
        recipe: Recipe,
        like: torch.Tensor,
    ):
        """shape: (C, h, w) of the latents. like: a weight of the network's type and device."""
        self.prompts, self.empty, self.shape, self.like = prompts, empty, shape, like
        self.recipe, self.grid = recipe, (1, shape[1] // 2, shape[2] // 2)
        self._batches = Batches([shape] * len(prompts), recipe.batch, recipe)

    def batch(self, number: int):
        """Noise (B, C, h, w), text states (B, T, Dt), their mask or None"""
        chosen = [self.prompts[i] for i in self._batches[number]]
        rng = self.recipe.generator(number, "noise")
        noise = torch.randn(len(chosen), *self.shape, generator=rng).to(self.like)
        txt, mask = padded([prompt.txt for prompt in chosen])
        return noise, txt.to(self.like), None if mask is None else mask.to(self.like.device)
