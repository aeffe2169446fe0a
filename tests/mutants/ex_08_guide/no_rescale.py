"""Leaves the lengths as they came out."""

HINT = "the direction is right"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined
