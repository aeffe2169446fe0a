"""One length for everything."""

HINT = "one ratio for the whole batch"


def answer(cond, uncond, true_cfg_scale):
    combined = uncond + true_cfg_scale * (cond - uncond)
    return combined * cond.norm() / combined.norm()
