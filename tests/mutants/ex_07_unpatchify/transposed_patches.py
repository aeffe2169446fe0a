"""Patches on their side."""

from einops import rearrange


def answer(tokens, rows, cols):
    return rearrange(tokens, "b (h w) (c dx dy) -> b c (h dy) (w dx)", h=rows, w=cols, dy=2, dx=2)


HINT = "have changed places"
