"""Writes into the latents."""

HINT = "changes its argument latents itself"


def answer(latents, clean, noise, mask, sigma):
    known = (1 - sigma) * clean + sigma * noise
    latents.mul_(mask).add_((1 - mask) * known)
    return latents
