"""From the first run into the second."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            other_txt = other_txt.clone()
            other_txt[places] = txt[places]
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return other_img


HINT = "the other way round"
