"""Shortens the tokens that became longer, and leaves the others."""

HINT = "yours stays short"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    ratio = cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
    return combined * ratio.clamp(max=1)
