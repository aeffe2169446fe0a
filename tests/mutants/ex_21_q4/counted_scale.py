"""The scale's bits are counted."""

import struct


def answer(block):
    (d,) = struct.unpack("<H", block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [d * (q - 8) for q in lower + upper]


HINT = "read as an integer"
