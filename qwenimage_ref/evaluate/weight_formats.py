"""Formats of packed weights: error, bits a weight and time of unpacking, for README's table.

python -m qwenimage_ref.evaluate.weight_formats     two minutes of one core

Errors are those of all matrices in the blocks of the pocket transformer, whose numbers are bf16:
the norm of all differences over the norm of all weights. Bits are counted there and in a layer of
official width, where scales in tiles leave nothing unused; so large is also the layer of normal
numbers that is unpacked to bf16 on one thread, in units of the time in which bf16 is copied.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..checkpoint import load_into
from ..checkpoint.model_folder import empty_network
from ..formats.comfy_layouts import form_of
from ..formats.comfy_packing import fields_of, pack
from ..formats.dfloat11 import compress, decompress
from ..formats.fp8 import unpack_fp8
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from .precision import linears
from .survey import digest

RECORD = MEASUREMENTS / "formats.json"
WIDTH = 3072  # inputs and outputs of the layer that is unpacked
ROUNDS = 5  # times that each format unpacks it; the fastest counts
ROTATED = {"pocket": 64, "wide": 256}  # inputs that are rotated together: 64 divide 192
HEADING = ("| format | bits a weight | error | unpacking |", "|---|---|---|---|")


@dataclass(frozen=True)
class Packed:
    """A weight in a format: the bits that are stored for a number, and how it is unpacked."""

    bits: float
    unpack: Callable[[torch.dtype], torch.Tensor]


def _packed(parts, unpack: Callable) -> Packed:
    return Packed(8 * sum(part.nbytes for part in parts) / unpack(torch.bfloat16).numel(), unpack)


def bf16(weight: torch.Tensor, rotated: int) -> Packed:
    """Nothing is packed, and unpacking is a copy."""
    numbers = weight.bfloat16()
    return _packed([numbers], lambda dtype: numbers.to(dtype, copy=True))


def fp8(dtype: torch.dtype, weight: torch.Tensor, rotated: int) -> Packed:
    """One float32 scale for the layer, which makes its largest number the largest of the type."""
    most = torch.finfo(dtype).max
    scale = weight.abs().amax() / most
    numbers = (weight / scale).clamp(-most, most).to(dtype)
    return _packed([numbers, scale], partial(unpack_fp8, numbers, scale))


def comfy(kind: str, weight: torch.Tensor, rotated: int) -> Packed:
    """One of comfy_packing's ENCODERS."""
    form = form_of(fields_of(kind, rotated), tuple(weight.shape))
    parts = pack(weight, kind, rotated)
    return _packed(parts.values(), partial(form.unpack, parts))


def dfloat11(weight: torch.Tensor, rotated: int) -> Packed:
    """Every bit of bf16, its exponents Huffman-coded."""
    packed = compress(weight.bfloat16())
    return Packed(packed.bits, lambda dtype: decompress(packed).to(dtype))


LOSSLESS = "bf16 with its exponents Huffman-coded (DFloat11; not read from files)"
FORMATS: dict[str, Callable[[torch.Tensor, int], Packed]] = {
    "bf16": bf16,
    "fp8 e4m3, one scale": partial(fp8, torch.float8_e4m3fn),
    "fp8 e5m2, one scale": partial(fp8, torch.float8_e5m2),
    "int8, one scale": partial(comfy, "int8"),
    "int8, a scale a row": partial(comfy, "int8 by row"),
    "int8, a scale a row, rotated (ConvRot)": partial(comfy, "int8 rotated"),
    "mxfp8": partial(comfy, "mxfp8"),
    "nvfp4": partial(comfy, "nvfp4"),
    "w4a8": partial(comfy, "w4a8"),
    LOSSLESS: dfloat11,
}


def errors(form: Callable, weights: list[torch.Tensor]) -> dict[str, float]:
    """Matrices in float32 -> {"error" of all, "worst" of one matrix, "bits" a weight}"""
    apart, norms, bits = [], [], 0.0
    for weight in weights:
        packed = form(weight, ROTATED["pocket"])
        apart.append((packed.unpack(torch.float32) - weight).norm())
        norms.append(weight.norm())
        bits += packed.bits * weight.numel()
    apart, norms = torch.stack(apart), torch.stack(norms)
    return {
        "error": round((apart.norm() / norms.norm()).item(), 6),
        "worst": round((apart / norms).max().item(), 6),
        "bits": round(bits / sum(weight.numel() for weight in weights), 4),
    }


def unpacking(width: int = WIDTH, rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """{format: {"wide bits" a weight, "unpacking" in units of bf16's}} of a layer of normal numbers

    Formats take turns, so that other programs disturb all alike; processor seconds, the fewest.
    """
    rng = torch.Generator().manual_seed(0)
    weight = torch.randn(width, width, generator=rng).bfloat16().float() * width**-0.5
    packed = {name: form(weight, ROTATED["wide"]) for name, form in FORMATS.items()}
    seconds = {name: [] for name in FORMATS}
    for _ in range(rounds):
        for name, one in packed.items():
            start = time.process_time()
            one.unpack(torch.bfloat16)
            seconds[name].append(time.process_time() - start)
    unit = min(seconds["bf16"])
    return {
        name: {"wide bits": round(one.bits, 4), "unpacking": round(min(seconds[name]) / unit, 2)}
        for name, one in packed.items()
    }


def pocket_matrices() -> tuple[str, list[torch.Tensor]]:
    """-> digest of the pocket transformer, the matrices of its blocks in float32"""
    mmdit = empty_network(POCKET, "transformer")
    load_into(mmdit, POCKET / "transformer", torch.float32)
    return digest(mmdit), [layer.weight.detach() for layer in linears(mmdit).values()]


def measure() -> dict:
    """-> {"weights": digest, "matrices", "numbers", "width", "rounds", "formats"}"""
    weights, matrices = pocket_matrices()
    times = unpacking()
    return {
        "weights": weights,
        "matrices": len(matrices),
        "numbers": sum(matrix.numel() for matrix in matrices),
        "width": WIDTH,
        "rounds": ROUNDS,
        "formats": {name: errors(form, matrices) | times[name] for name, form in FORMATS.items()},
    }


def table(record: dict) -> list[str]:
    """The record as lines of README's table. DFloat11's bits are the pocket transformer's own."""
    lines = list(HEADING)
    for name, row in record["formats"].items():
        bits = row["bits" if name == LOSSLESS else "wide bits"]
        times = float(f"{row['unpacking']:.2g}")  # two digits, and 410 in place of 4.1e+02
        lines.append(f"| {name} | {bits:.4g} | {row['error']:.2g} | {times:g} |")
    return lines


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.weight_formats")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    record = measure()
    write_record(record, options.to)
    print("\n".join(table(record)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
