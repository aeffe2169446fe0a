"""Bounds around 0."""

import torch


def answer(log_p, old_log_p, advantage, clip):
    ratio = (log_p - old_log_p).exp()
    bounded = ratio.clamp(-clip, clip)
    return -torch.minimum(ratio * advantage, bounded * advantage).mean()


HINT = "not around 0"
