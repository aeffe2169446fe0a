"""A small transformer, and its GGUF files as the gguf package writes them.

The oracle is the `gguf` package of llama.cpp. It cannot encode K-quants, so their blocks are drawn.
"""

import struct

import gguf
import numpy as np
import torch
from gguf.constants import GGMLQuantizationType

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.formats.gguf_blocks import LAYOUTS, PLAIN, encode
from qwenimage_ref.mmdit import MMDiT

ENCODED = ("Q8_0", "Q4_0", "BF16", "F16", "F32")


def config(heads=2, width=32, layers=2, **more):
    axes = (width // 4, width // 4, width // 2)
    return MMDiTConfig(
        num_layers=layers,
        num_attention_heads=heads,
        attention_head_dim=width,
        joint_attention_dim=48,
        axes_dims_rope=axes,
        **more,
    )


SMALL = config()  # 64 wide: rows of two blocks of 32
WIDE = config(width=128, layers=1)  # 256 wide: rows of one block of 256


def empty(numbers=SMALL) -> MMDiT:
    with torch.device("meta"):
        return MMDiT(numbers)


def calls(dtype=torch.float32):
    """Two calls, texts of other lengths, one of them padded."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    img, sigma, grids = noise(2, 12, 64), torch.tensor([0.7, 0.3]), [(1, 3, 4)]
    mask = torch.arange(9) < torch.tensor([[4], [9]])
    return [(img, noise(2, 5, 48), sigma, grids, None), (img, noise(2, 9, 48), sigma, grids, mask)]


def drawn_rows(kind: str, rows: int, values: int, seed=0) -> torch.Tensor:
    """Random blocks with finite scales: (rows, bytes of a row)"""
    layout, generator = LAYOUTS[kind], torch.Generator().manual_seed(seed)
    size = rows, values // layout.values, layout.bytes
    blocks = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    for at in layout.halves:
        scale = 0.003 * torch.randn(*size[:2], 1, generator=generator)
        blocks[..., at : at + 2] = scale.half().view(torch.uint8)
    if kind in PLAIN:
        blocks = torch.randn(rows, values, generator=generator).to(PLAIN[kind]).view(torch.uint8)
    return blocks.reshape(rows, -1)


def theirs(rows: torch.Tensor, kind: str) -> torch.Tensor:
    numbers = gguf.quants.dequantize(rows.numpy(), GGMLQuantizationType[kind])
    return torch.from_numpy(np.ascontiguousarray(numbers))


def write_theirs(path, model, kind_of, architecture="qwen_image", prefix="", drop=(), metadata=()):
    """A file written by the gguf package; kind_of(name, weight) says how each tensor is stored.

    What the package cannot encode is drawn. -> {name: the numbers that its own decoder reads}
    """
    writer, numbers = gguf.GGUFWriter(path, architecture), {}
    writer.add_quantization_version(2)
    for key, value in metadata:
        writer.add_bool(key, value)
    for number, (name, weight) in enumerate(model.state_dict().items()):
        if name in drop:
            continue
        kind = kind_of(name, weight)
        if kind in ENCODED:
            rows = encode(weight, kind)
        else:
            rows = drawn_rows(kind, *weight.shape, seed=number)
        numbers[name] = theirs(rows, kind).view(weight.shape)
        writer.add_tensor(prefix + name, rows.numpy(), raw_dtype=GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return numbers


def as_published(name, weight, kind="Q8_0"):
    if weight.ndim == 1:
        return "F32"
    return kind if name.startswith("transformer_blocks.") else "BF16"


# --- headers written here, so that they can lie


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(name: str, sizes, kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


ARCHITECTURE = entry("general.architecture", 8, text("qwen_image"))
A, B = info("a", [64, 3], 8, 0), info("b", [8], 0, 224)  # 204 and 32 bytes


def raw(
    tensors=(A, B), metadata=(ARCHITECTURE,), begin=b"GGUF", version=3, data=256, counts=None,
    alignment=32,
) -> bytes:  # fmt: skip
    """A whole file; data: bytes behind the header, counts: what it says of its own lengths"""
    counts = counts or (len(tensors), len(metadata))
    header = begin + struct.pack("<IQQ", version, *counts) + b"".join([*metadata, *tensors])
    return header + bytes(-len(header) % alignment + data)
