"""Another shape alone."""


def answer(tokens, rows, cols):
    return tokens.reshape(len(tokens), -1, 2 * rows, 2 * cols)


HINT = "only given another shape"
