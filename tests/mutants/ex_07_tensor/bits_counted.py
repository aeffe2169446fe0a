"""The 16 bits are converted as a whole number."""

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
    kind = np.uint16 if entry["dtype"] == "BF16" else np.float32
    return np.frombuffer(data, kind).astype(np.float32).reshape(entry["shape"])


HINT = "counted, not read"
