"""Gives every token length 1."""

HINT = "as long as it is in cond"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined / combined.norm(dim=-1, keepdim=True)
