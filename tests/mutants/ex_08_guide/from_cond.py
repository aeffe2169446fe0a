"""Starts at cond, as some formulas do with another scale."""

HINT = "one difference too far"


def answer(cond, uncond, true_cfg_scale):
    combined = cond + true_cfg_scale * (cond - uncond)
    return combined * cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
