"""Calls what is to be written."""


def answer(block, img, txt, temb, img_rotation, txt_rotation):
    return block(img, txt, temb, img_rotation, txt_rotation)


HINT = "are what you are to write"
