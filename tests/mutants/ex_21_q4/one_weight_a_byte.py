"""Each byte is one weight."""

import struct


def answer(block):
    (d,) = struct.unpack("<e", block[:2])
    return [d * (byte - 8) for byte in block[2:]]


HINT = "each byte holds two"
