"""Right, but the latents of whoever calls are normalised, too."""

HINT = "changes its argument z itself"


def answer(z, mean, std):
    z -= mean.view(-1, 1, 1)
    z /= std.view(-1, 1, 1)
    return z
