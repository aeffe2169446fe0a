"""Behind the last block alone."""

HINT = "not behind the last one alone"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for block in blocks:
        img, txt = block(img, txt)
    return img + sum(scale * add(len(blocks) - 1, img) for add, scale in acting)
