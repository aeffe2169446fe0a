"""Chapter 04: pictures to latents and back."""


def EX_04_TAPS(kernel):
    """Two frames of nothing stand before the picture, so only the last tap meets it."""
    return kernel[:, :, -1]


def EX_04_STATS(z, mean, std):
    """Mean 0 and deviation 1 for each channel, the second axis of z."""
    return (z - mean[:, None, None]) / std[:, None, None]


SPOILERS = {
    "ex_04_taps": {"kernel", "last", "final", "third"},
    "ex_04_stats": {"None", "view", "reshape", "subtract", "divide"},
}
