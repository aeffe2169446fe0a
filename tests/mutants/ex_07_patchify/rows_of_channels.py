"""Patch rows with all channels."""

from einops import rearrange


def answer(latents):
    return rearrange(latents, "b c (h dy) (w dx) -> b (h w) (dy c dx)", dy=2, dx=2)


HINT = "your tokens hold patch rows"
