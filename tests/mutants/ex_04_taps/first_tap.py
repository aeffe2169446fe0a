"""Takes the first tap."""

HINT = "two frames ago"


def answer(kernel):
    return kernel[:, :, 0]
