"""The second run's picture."""


def answer(blocks, img, txt, other_img, other_txt, places, at):
    for block in blocks:
        other_img, other_txt = block(other_img, other_txt)
    return other_img


HINT = "picture of the second run"
