"""A sum over places."""

import torch


def answer(latents):
    channels = torch.cat([latents.flatten(1), torch.ones(1, latents[0].numel())])
    return channels @ channels.T


HINT = "that is a sum"
