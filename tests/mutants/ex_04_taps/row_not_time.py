"""Takes the last row and keeps time."""

HINT = "keeps all of time"


def answer(kernel):
    return kernel[:, :, :, -1]
