"""A covariance."""

import torch


def answer(latents):
    channels = latents.flatten(1)
    channels = channels - channels.mean(dim=1, keepdim=True)
    channels = torch.cat([channels, torch.ones(1, channels.shape[1])])
    return channels @ channels.T / channels.shape[1]


HINT = "means are taken off"
