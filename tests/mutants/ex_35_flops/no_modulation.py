"""No modulation."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 24 * S * width**2
    attention = 4 * S**2 * width
    return 3 * pictures * blocks * (matrices + attention)


HINT = "the modulation is missing"
