"""Takes the first axis."""

HINT = "measured over the batch"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined * cond.norm(dim=0, keepdim=True) / combined.norm(dim=0, keepdim=True)
