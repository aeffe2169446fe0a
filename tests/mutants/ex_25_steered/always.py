"""Windows without effect."""

HINT = "windows have no effect"


def answer(blocks, img, txt, nets, step, steps):
    acting = [(add, scale) for add, scale, start, end in nets if True]
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        img = img + sum(scale * add(i, img) for add, scale in acting)
    return img
