"""A step that begins inside."""

HINT = "the whole of it lies inside"


def answer(blocks, img, txt, nets, step, steps):
    acting = [(add, scale) for add, scale, start, end in nets if start <= step / steps < end]
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        img = img + sum(scale * add(i, img) for add, scale in acting)
    return img
