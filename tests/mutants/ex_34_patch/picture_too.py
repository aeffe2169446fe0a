"""The image stream comes along."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            txt, img = txt.clone(), other_img
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


HINT = "image stream is exchanged as well"
