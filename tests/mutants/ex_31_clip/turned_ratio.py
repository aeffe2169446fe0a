"""The old above the new."""

import torch


def answer(log_p, old_log_p, advantage, clip):
    ratio = (old_log_p - log_p).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, bounded * advantage).mean()


HINT = "turned over"
