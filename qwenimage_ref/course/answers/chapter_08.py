"""Chapter 08: the shifted sampler."""


def EX_08_MU(height: int, width: int) -> float:
    """A straight line over image tokens: 0.5 at 256, 0.9 at 8192, clamped nowhere."""
    image_tokens = (height // 16) * (width // 16)
    return 0.5 + (image_tokens - 256) * (0.9 - 0.5) / (8192 - 256)


def EX_08_STRETCH(levels, terminal: float):
    """The distance from 1 grows by one factor, so that the last level becomes the terminal one."""
    done = 1 - levels
    return 1 - done * (1 - terminal) / done[-1]


def EX_08_GUIDE(cond, uncond, true_cfg_scale: float):
    """Extrapolate from uncond through cond; every token keeps the length it has in cond."""
    combined = uncond + true_cfg_scale * (cond - uncond)
    length = cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
    return combined * length


SPOILERS = {
    "ex_08_mu": {"7936", "slope", "6889"},
    "ex_08_stretch": {"done", "divide", "factor"},
    "ex_08_guide": {"dim", "keepdim", "norm"},
}
