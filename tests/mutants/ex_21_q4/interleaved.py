"""Two halves of a byte are taken for neighbours."""

import struct


def answer(block):
    (d,) = struct.unpack("<e", block[:2])
    halves = [q for byte in block[2:] for q in (byte & 15, byte >> 4)]
    return [d * (q - 8) for q in halves]


HINT = "sixteen places apart"
