"""Chapter 07: sixty blocks."""


def EX_07_TENSOR(file, name: str):
    """Eight bytes, the header, the data: seek, read, widen bf16 to float32, shape."""
    import json
    import struct

    import numpy as np

    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        entry = json.loads(opened.read(length))[name]
        start, stop = entry["data_offsets"]
        opened.seek(8 + length + start)
        content = opened.read(stop - start)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        numbers = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(content, "<f4")
    return numbers.reshape(entry["shape"])


SPOILERS = {"ex_07_tensor": {"frombuffer", "unpack", "seek", "uint32", "shift"}}
