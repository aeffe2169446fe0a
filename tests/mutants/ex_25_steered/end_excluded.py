"""Not the step at the end."""

HINT = "ends where the window ends"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps < end
    ]
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        img = img + sum(scale * add(i, img) for add, scale in acting)
    return img
