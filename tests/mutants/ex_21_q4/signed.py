"""Halves of bytes in two's complement."""

import struct


def answer(block):
    (d,) = struct.unpack("<e", block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [d * (q if q < 8 else q - 16) for q in lower + upper]


HINT = "signed numbers"
