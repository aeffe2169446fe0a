"""Behind the block instead of before it."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
    return img


HINT = "come in before block"
