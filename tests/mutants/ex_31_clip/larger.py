"""The larger of the two."""

import torch


def answer(log_p, old_log_p, advantage, clip):
    ratio = (log_p - old_log_p).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.maximum(ratio * advantage, bounded * advantage).mean()


HINT = "be pessimistic"
