"""Puts the painted latents under noise again."""

HINT = "noisy already"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    painted = (1 - sigma) * latents + sigma * noise
    return (1 - mask) * known + mask * painted
