"""The first run alone."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for block in blocks:
        img, txt = block(img, txt)
    return img


HINT = "without any patch"
