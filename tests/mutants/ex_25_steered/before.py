"""Before each block."""

HINT = "yours act before it"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for i, block in enumerate(blocks):
        img = img + sum(scale * add(i, img) for add, scale in acting)
        img, txt = block(img, txt)
    return img
