"""A single picture."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 24 * S * width**2
    attention = 4 * S**2 * width
    modulation = 24 * width**2
    return 3 * blocks * (matrices + attention + modulation)


HINT = "a single picture"
