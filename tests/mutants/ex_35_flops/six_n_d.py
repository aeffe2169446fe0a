"""6 N D, with all weights of the blocks."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 72 * S * width**2
    attention = 4 * S**2 * width
    return 3 * pictures * blocks * (matrices + attention)


HINT = "what 6 N D counts"
