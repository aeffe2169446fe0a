"""Before every block from the patch on."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for number, block in enumerate(blocks):
        if number >= at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


HINT = "once is enough"
