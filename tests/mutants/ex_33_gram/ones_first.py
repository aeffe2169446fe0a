"""The ones come first."""

import torch


def answer(latents):
    channels = torch.cat([torch.ones(1, latents[0].numel()), latents.flatten(1)])
    return channels @ channels.T / channels.shape[1]


HINT = "the ones come last"
