"""Added up."""

import torch


def answer(log_p, old_log_p, advantage, clip):
    ratio = (log_p - old_log_p).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -torch.minimum(ratio * advantage, bounded * advantage).sum()


HINT = "added up over the group"
