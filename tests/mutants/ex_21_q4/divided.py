"""Divided by the scale."""

import struct


def answer(block):
    (d,) = struct.unpack("<e", block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [(q - 8) / d for q in lower + upper]


HINT = "you divide"
