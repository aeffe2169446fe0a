"""States that have passed no block."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
    return img


HINT = "the second run begins with"
