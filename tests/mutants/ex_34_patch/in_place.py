"""The first text is changed where it stands."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


HINT = "changes its argument txt itself"
