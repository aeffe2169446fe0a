"""Keeps the length of the wrong prediction."""

HINT = "that it has in uncond"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined * uncond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
