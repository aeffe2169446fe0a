"""Pushes away from the prompt."""

HINT = "away from the prompt"


def answer(cond, uncond, true_cfg_scale):
    combined = cond + true_cfg_scale * (uncond - cond)
    return combined * cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
