"""All of the text."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            txt = other_txt
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


HINT = "all of the text is exchanged"
