"""From the stream before the block."""

HINT = "not the one before it"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for i, block in enumerate(blocks):
        before = img
        img, txt = block(img, txt)
        img = img + sum(scale * add(i, before) for add, scale in acting)
    return img
