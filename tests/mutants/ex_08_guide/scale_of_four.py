"""Always a scale of 4, whatever is asked."""

HINT = "with a scale of 2.5"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + 4 * (cond - uncond)
    return combined * cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
