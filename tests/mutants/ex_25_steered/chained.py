"""Each network on top of the others."""

HINT = "sees what the first has added"


def answer(blocks, img, txt, nets, step, steps):
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        for add, scale in acting:
            img = img + scale * add(i, img)
    return img
