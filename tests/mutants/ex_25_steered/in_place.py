"""Written into the argument."""

HINT = "your function changes"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for i, block in enumerate(blocks):
        img += block(img, txt)[0] - img
        img = img + sum(scale * add(i, img) for add, scale in acting)
    return img
