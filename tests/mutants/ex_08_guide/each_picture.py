"""One length for each picture."""

HINT = "one ratio for each picture"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    axes = (1, 2)
    return combined * cond.norm(dim=axes, keepdim=True) / combined.norm(dim=axes, keepdim=True)
