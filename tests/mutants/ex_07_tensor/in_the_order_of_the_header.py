"""Trusts the order of the names instead of the offsets."""

import json
import struct

import numpy as np


def answer(file, name):
    content = open(file, "rb").read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    entry = header[name]
    start, stop = entry["data_offsets"]
    begin = 8 + length
    for key, other in header.items():  # __metadata__ has no offsets
        if key == name:
            break
        if "data_offsets" in other:
            first, last = other["data_offsets"]
            begin += last - first
    data = content[begin : begin + stop - start]
    if entry["dtype"] == "BF16":
        numbers = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(data, np.float32)
    return numbers.reshape(entry["shape"])


HINT = "other numbers than were written"
