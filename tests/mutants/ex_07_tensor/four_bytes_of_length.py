"""A length of four bytes, as in a PNG or WAV file."""

import json
import struct

import numpy as np


def answer(file, name):
    content = open(file, "rb").read()
    (length,) = struct.unpack("<I", content[:4])
    header = json.loads(content[4 : 4 + length])
    entry = header[name]
    start, stop = entry["data_offsets"]
    data = content[4 + length + start : 4 + length + stop]
    if entry["dtype"] == "BF16":
        numbers = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(data, np.float32)
    return numbers.reshape(entry["shape"])


HINT = "not JSON"
