"""LoRA training: its speed and memory beside peft, and the formula that estimates its memory.

python -m qwenimage_ref.parity.bench.lora peft --record      a step of one block, beside peft's
python -m qwenimage_ref.parity.bench.lora formula --record   memory of 2, 4 and 8 blocks
python -m qwenimage_ref.parity.bench.lora wide FOLDER --record     two blocks of official width

A FOLDER that does not exist is forged (6 GB) and deleted at the end. Times are processor seconds of
one thread. Exit status 1: a target is missed.
"""

import argparse
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from ...checkpoint import save
from ...checkpoint.config_files import write_json
from ...config import MMDiTConfig
from ...files import read_json
from ...mmdit import MMDiT
from ...provenance import provenance
from ...repository import MEASUREMENTS, in_a_clone
from ...train.recompute import training_bytes
from ..reference import random_weights
from ..trace import difference
from .fresh_process import can_measure_memory, fresh_process
from .lora_tasks import (
    RANK,
    SIDES,
    TARGETS,
    TEXT_TOKENS,
    WIDE,
    base,
    block_inputs,
    lora,
    step_of,
    with_heads,
)  # fmt: skip
from .parts import BLOCK, HEAD, Row, alternate, distance
from .streaming import forge_folder

FILE = MEASUREMENTS / "lora.json"
PROGRAM = "qwenimage_ref.parity.bench.lora_tasks"
HEADS = 24  # each 128 wide, which makes the official width of 3072
SIDE = 16  # 256 image tokens
ROUNDS = 5
NARROW = 8  # heads, a width of 1024, for measuring the formula
BLOCKS = (2, 4, 8)
HOW = ("resident", "streamed")
ALLOWED = 0.1  # relative error of the formula
NO_MORE = 0.99  # smallest ratio of memory, because two runs of one program differ by some pages
SAME = 1e-5  # relative error of float32 gradients, because sums have another order
MORE = 1.25  # times peft's error in bf16: over a bf16 base peft computes its share in float32
ABOUT = {
    "step": f"forward, backward and AdamW of a LoRA of rank {RANK} on the 12 linear layers that "
    f"DiffSynth adapts in one block, {SIDE * SIDE} image and {TEXT_TOKENS} text tokens; the base "
    "in this type, the adapter float32; median of alternating runs",
    "error": "of the gradients: float32, the largest difference relative to the largest value of "
    "its matrix; bf16, root mean square distance to the float32 ones; allowed are "
    f"{MORE} times peft's, which computes the adapter's share in float32",
    "peak": "above weights, adapter and moments; each in a fresh process",
    "formula": "train/recompute.training_bytes beside the peak memory of a fresh process, "
    "bf16 with recomputed blocks; a streamed base from files in the system's cache",
    "seconds": "of the processor, one step",
}


def step_rows(heads: int, side: int, rounds: int) -> Iterator[Row]:
    """Yields a row a type: our step beside peft's, with the same weights and the same adapter."""
    exact = None
    for dtype in (torch.float32, torch.bfloat16):
        mmdit = base(heads, dtype)
        inputs = block_inputs(mmdit, side, TEXT_TOKENS)
        theirs = step_of(*SIDES["peft"](mmdit))  # careful: first, while our network has no adapter
        ours = step_of(*SIDES["ours"](mmdit))
        steps = [partial(ours, inputs), partial(theirs, inputs)]
        (a, b), (our_grads, their_grads) = alternate(steps, rounds)
        exact = their_grads if exact is None else exact
        error, allowed = gradient_error(our_grads, their_grads, exact, dtype)
        name = str(dtype).removeprefix("torch.")
        yield Row(f"LoRA step, one block, {name}", "s", a, b, BLOCK, error, allowed)


def gradient_error(ours: dict, theirs: dict, exact: dict, dtype: torch.dtype) -> tuple:
    """-> error of our gradients and what is allowed, as ABOUT says; exact: the float32 ones"""
    if dtype == torch.float32:
        return max(difference(ours[key], exact[key])[1] for key in exact), SAME
    flat, reference, best = (
        torch.cat([grads[key].flatten() for key in exact]) for grads in (ours, theirs, exact)
    )
    return distance(flat, best), MORE * distance(reference, best)


def peak_rows(heads: int, side: int) -> Iterator[Row]:
    for dtype in ("float32", "bfloat16"):
        ours, theirs = (
            fresh_process(PROGRAM, "step", who, dtype, str(heads), str(side))["peak"] / 1e6
            for who in SIDES
        )
        yield Row(f"LoRA step, one block, {dtype}, peak", "MB", ours, theirs, NO_MORE)


def write_base(folder: Path, config: MMDiTConfig) -> None:
    """Write a folder with a transformer of random weights and nothing else."""
    with torch.device("meta"):
        mmdit = MMDiT(config)
    save(random_weights(mmdit.bfloat16(), 0), folder / "transformer")
    write_json(folder / "transformer" / "config.json", config.to_dict())


def measured(folder: Path, how: str, side: int) -> dict:
    """Measured memory and seconds of training on a folder's transformer, and the formula's."""
    result = fresh_process(PROGRAM, "train", str(folder), how, str(side))
    return {
        "base": how,
        "image_tokens": side * side,
        "seconds": round(result["seconds"], 3),
        "measured_mb": round(result["peak"] / 1e6, 1),
        "formula_mb": round(result["predicted"] / 1e6, 1),
        "formula over measured": round(result["predicted"] / result["peak"], 3),
        "sha256": result["sha256"],
    }


def formula_rows(heads: int, side: int, blocks) -> Iterator[dict]:
    """Yields rows of the formula for several numbers of blocks, resident and streamed."""
    for count in blocks:
        config = replace(with_heads(WIDE, heads), num_layers=count)
        with tempfile.TemporaryDirectory() as folder:
            write_base(Path(folder), config)
            for how in HOW:
                row = measured(Path(folder), how, side)
                yield {"blocks": count, "width": config.inner_dim} | row


def official_bytes(side: int = 64) -> dict:
    """The formula's result in GB for the official model; side 64 is 1024x1024 pixels."""
    with torch.device("meta"):
        mmdit = MMDiT(MMDiTConfig.official()).bfloat16()
        adapter = lora.inject(mmdit, TARGETS, RANK)
    count = sum(p.numel() for p in adapter.parameters())
    parts = training_bytes(mmdit, side * side, TEXT_TOKENS, count)
    block = sum(p.nbytes for p in mmdit.transformer_blocks[0].parameters())
    streamed = parts["base"] - (len(mmdit.transformer_blocks) - 1) * block
    gb = {part: round(size / 1e9, 2) for part, size in parts.items()}
    total = sum(parts.values())
    return {
        "adapter_parameters": count,
        "image_tokens": side * side,
        "resident_gb": gb | {"all": round(total / 1e9, 2)},
        "streamed_gb": gb
        | {"base": round(streamed / 1e9, 2)}
        | {"all": round((total - parts["base"] + streamed) / 1e9, 2)},
    }


def wide(folder: Path, side: int = SIDE) -> dict:
    """Two blocks of official width: a streamed base beside a resident one, and the command."""
    rows = {how: measured(folder, how, side) for how in HOW}
    resumed = fresh_process(PROGRAM, "resume", str(folder), "streamed", str(side))
    command = fresh_process(PROGRAM, "command", str(folder))
    seconds = [rows[how]["seconds"] for how in HOW]
    return {
        "steps": list(rows.values()),
        "streamed over resident, seconds": round(seconds[1] / seconds[0], 3),
        "streamed gives the same bits": rows["resident"]["sha256"] == rows["streamed"]["sha256"],
        "1 + 1 steps are 2 to the last bit": resumed["same bits"],
        "command": {
            "told": "qwenimage train lora --stream --recompute --steps 2, two pictures of 256x256",
            "seconds": round(command["seconds"], 1),
            "peak_gb": round(command["peak"] / 1e9, 2),
            "lora_mb": round(command["file"] / 1e6, 1),
        },
    }


def missed(rows: list[Row], formula: list[dict]) -> list[str]:
    """One line for everything that is out of its bounds."""
    off = [
        f"{row['blocks']} blocks, {row['base']}: formula over measured is {ratio}"
        for row in formula
        if not math.isclose(ratio := row["formula over measured"], 1, abs_tol=ALLOWED)
    ]
    return [f"{row.what}: {text}" for row in rows for text in row.missed] + off


def keep(file: Path, **results) -> None:
    """Add results to the record."""
    before = read_json(file) if file.is_file() else {}
    source = provenance("peft", "diffusers")
    write_json(file, before | {"about": ABOUT} | {k: v | source for k, v in results.items()})


def beside(file: Path | None, heads=HEADS, side=SIDE, rounds=ROUNDS) -> list[str]:
    """Measure ours beside peft -> the lines of `missed`"""
    print(HEAD.rstrip(), flush=True)
    rows = []
    for part in (step_rows(heads, side, rounds), peak_rows(heads, side)):
        for row in part:
            rows.append(row)
            print(row, flush=True)
    if file:
        table = [asdict(row) | {"gain": round(row.gain, 3)} for row in rows]
        keep(file, peft={"rows": table})
    return missed(rows, [])


def formula(file: Path | None, heads=NARROW, side=24, blocks=BLOCKS) -> list[str]:
    """Measure what the formula predicts -> the lines of `missed`"""
    rows = []
    for row in formula_rows(heads, side, blocks):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if file:
        keep(file, formula={"rows": rows, "official": official_bytes()})
    return missed([], rows)


def in_folder(folder: Path, file: Path | None) -> list[str]:
    """Measure two blocks of official width, forged if needed -> the lines of `missed`"""
    folder = folder.expanduser().resolve()
    forged_here = not folder.exists()
    try:
        if forged_here:
            forge_folder(folder, 2)
        result = wide(folder)
    finally:
        if forged_here:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(result, indent=1))
    if file:
        keep(file, wide=result)
    return missed([], [row | {"blocks": 2} for row in result["steps"]])


@in_a_clone
def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=("peft", "formula", "wide"))
    parser.add_argument("folder", type=Path, nargs="?", help="the checkpoint; for wide only")
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    options = parser.parse_args(arguments)
    if (options.part == "wide") != (options.folder is not None):
        parser.error("FOLDER must be given for wide, and only for wide")
    if not can_measure_memory():
        parser.error("memory is measured through /proc, which only Linux has")
    torch.set_num_threads(1)
    file = FILE if options.record else None
    parts = {"peft": beside, "formula": formula, "wide": partial(in_folder, options.folder)}
    failed = parts[options.part](file)
    for line in failed:
        print(f"MISSED: {line}")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
