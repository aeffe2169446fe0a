"""The order of many vision transformers."""

from einops import rearrange


def answer(latents):
    return rearrange(latents, "b c (h dy) (w dx) -> b (h w) (dy dx c)", dy=2, dx=2)


HINT = "the channels are the fastest"
