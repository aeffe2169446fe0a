"""The 16 bits end up in the lower half of a float32."""

import json
import struct

import numpy as np


def answer(file, name):
    content = open(file, "rb").read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    entry = header[name]
    start, stop = entry["data_offsets"]
    data = content[8 + length + start : 8 + length + stop]
    if entry["dtype"] == "BF16":
        numbers = np.frombuffer(data, np.uint16).astype(np.uint32).view(np.float32)
    else:
        numbers = np.frombuffer(data, np.float32)
    return numbers.reshape(entry["shape"])


HINT = "lower half"
