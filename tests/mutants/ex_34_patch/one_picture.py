"""The second text attends to the first picture."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        _, other_txt = block(img, other_txt)
        img, txt = block(img, txt)
    return img


HINT = "an image stream of its own"
