"""An MLP that is twice as wide, not four times."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 16 * S * width**2
    attention = 4 * S**2 * width
    modulation = 24 * width**2
    return 3 * pictures * blocks * (matrices + attention + modulation)


HINT = "write down the shape"
