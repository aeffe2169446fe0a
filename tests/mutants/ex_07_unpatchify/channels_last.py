"""The order of many vision transformers."""

from einops import rearrange


def answer(tokens, rows, cols):
    return rearrange(tokens, "b (h w) (dy dx c) -> b c (h dy) (w dx)", h=rows, w=cols, dy=2, dx=2)


HINT = "the channel is the slowest"
