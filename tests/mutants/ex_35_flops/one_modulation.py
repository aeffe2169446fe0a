"""A single modulation for both streams."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 24 * S * width**2
    attention = 4 * S**2 * width
    modulation = 12 * width**2
    return 3 * pictures * blocks * (matrices + attention + modulation)


HINT = "a modulation of its own"
