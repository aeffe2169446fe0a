"""Calls what is to be written."""

from qwenimage_ref.sampler import pack, unpack


def answer(mmdit, latents, txt_states, sigma):
    rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
    return unpack(mmdit(pack(latents), txt_states, sigma, [(1, rows, cols)]), rows, cols)


HINT = "are what you are to write"
