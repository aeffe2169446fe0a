"""No attention."""


def answer(width, blocks, image_tokens, text_tokens, pictures):
    S = image_tokens + text_tokens
    matrices = 24 * S * width**2
    modulation = 24 * width**2
    return 3 * pictures * blocks * (matrices + modulation)


HINT = "weighted sums are missing"
