"""Takes the middle, as in a convolution that looks both ways."""

HINT = "the frame before the picture"


def answer(kernel):
    return kernel[:, :, 1]
