"""Patches run down first."""

from einops import rearrange


def answer(latents):
    return rearrange(latents, "b c (h dy) (w dx) -> b (h w) (c dx dy)", dy=2, dx=2)


HINT = "your patches run down first"
