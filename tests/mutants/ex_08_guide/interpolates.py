"""Takes the scale for a share."""

HINT = "point elsewhere"


def answer(cond, uncond, true_cfg_scale):
    share = 1 / true_cfg_scale
    combined = uncond + share * (cond - uncond)
    return combined * cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
