"""The scale is taken for a bf16."""

import struct


def answer(block):
    (d,) = struct.unpack("<f", b"\0\0" + block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [d * (q - 8) for q in lower + upper]


HINT = "float16, not the upper half"
