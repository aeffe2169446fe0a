"""The whole numbers begin at zero."""

import struct


def answer(block):
    (d,) = struct.unpack("<e", block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [d * q for q in lower + upper]


HINT = "sign of the scale"
