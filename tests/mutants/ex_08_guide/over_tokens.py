"""Takes the axis of the tokens."""

HINT = "measured over the tokens"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined * cond.norm(dim=1, keepdim=True) / combined.norm(dim=1, keepdim=True)
