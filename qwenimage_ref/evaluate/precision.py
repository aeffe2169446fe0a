"""Fewer bits for each weight: the cost in error and in pictures, measured on the pocket model.

python -m qwenimage_ref.evaluate.precision     takes minutes; resumes if interrupted

The weights of all blocks are rounded to a format; the rest of the transformer stays as it is. Every
format paints the same captions from the same noise. The results are written to
data/measurements/precision.json.
"""

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..formats import gguf_blocks
from ..formats.fp8 import quantize_fp8, unpack_fp8
from ..pictures import to_input
from ..posters.draw import draw
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from ..sampler import pack
from .held_out import square_trials
from .intervals import interval, paired
from .score import contact_sheet, paint
from .settings import distance, marks
from .survey import Progress, survey_command, terms_of

RECORD = MEASUREMENTS / "precision.json"
STEPS, GUIDANCE = 8, 4.0  # settings of every picture
LEVELS = (0.9, 0.6, 0.3)  # noise levels at which the velocity is compared
POSTERS = 4  # noisy posters at each level


def as_fp8(weight, granularity: str):
    """(out, in) -> (out, in): rounded to float8_e4m3fn, "plain" or with one scale a "tensor" """
    return unpack_fp8(*quantize_fp8(weight, granularity), torch.float32)


def as_gguf(weight, kind: str):
    """(out, in) -> (out, in): encoded as in a GGUF file and decoded"""
    return gguf_blocks.decode(gguf_blocks.encode(weight, kind), kind)


def in_blocks(weight, bits: int, block: int = 32):
    """(..., n block) -> the same shape, each block rounded to integers of `bits` with a scale

    This is Q4_0 for any number of bits: the value of largest magnitude becomes the lowest integer,
    -(2 ** (bits - 1)), and the scale is a float16.
    """
    half = 2 ** (bits - 1)
    blocks = weight.unflatten(-1, (-1, block))
    scale = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)) / -half
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    q = (blocks * inverse + half + 0.5).trunc().clamp(0, 2 * half - 1) - half
    return (q * scale.half().float()).flatten(-2)


def one_scale(weight, bits: int):
    """(out, in) -> (out, in): the same with the whole layer as one block"""
    return in_blocks(weight.flatten(), bits, weight.numel()).view_as(weight)


@dataclass(frozen=True)
class Format:
    """A storage format for the weights of linear layers."""

    bits: float  # per weight, including its share of a block's scale
    rounded: Callable  # weight -> the weight after a round trip through the format
    scale: int = 0  # bytes of scales for a whole layer


FORMATS = {
    "bf16": Format(16, lambda w: w.bfloat16().float()),
    "Q4_0": Format(4.5, lambda w: as_gguf(w, "Q4_0")),
    "3 bits, blocks": Format(3.5, lambda w: in_blocks(w, 3)),
    "fp8 scaled": Format(8, lambda w: as_fp8(w, "tensor"), scale=4),
    "4 bits, one scale": Format(4, lambda w: one_scale(w, 4), scale=2),
    "2 bits, blocks": Format(2.5, lambda w: in_blocks(w, 2)),
    "Q8_0": Format(8.5, lambda w: as_gguf(w, "Q8_0")),
    "fp8 plain": Format(8, lambda w: as_fp8(w, "plain")),
}


def linears(mmdit) -> dict[str, nn.Linear]:
    """{official name: layer} of the layers whose weights are packed: all linear ones in blocks."""
    named = mmdit.transformer_blocks.named_modules(prefix="transformer_blocks")
    return {name: layer for name, layer in named if isinstance(layer, nn.Linear)}


def count_bytes(mmdit, form: Format) -> int:
    """The transformer's size in bytes, with everything that is not packed in bf16."""
    packed = [layer.weight.numel() for layer in linears(mmdit).values()]
    others = sum(p.numel() for p in mmdit.parameters()) - sum(packed)
    return math.ceil(sum(packed) * form.bits / 8) + form.scale * len(packed) + 2 * others


@contextlib.contextmanager
def rounded_to(mmdit, form: Format):
    """The transformer with its weights rounded to a format; they are restored on exit."""
    layers = linears(mmdit).values()
    own = [layer.weight.data for layer in layers]
    try:
        for layer in layers:
            layer.weight.data = form.rounded(layer.weight.data)
        yield mmdit
    finally:
        for layer, weight in zip(layers, own):
            layer.weight.data = weight


def relative_error(approximate, exact) -> float:
    """Two tensors of one shape -> the norm of their difference over the norm of the exact one"""
    return ((approximate - exact).norm() / exact.norm()).item()


def layer_errors(mmdit, form: Format) -> dict[str, float]:
    """{official name: relative error of the weight} for every packed layer."""
    weights = {name: layer.weight.data for name, layer in linears(mmdit).items()}
    return {name: relative_error(form.rounded(weight), weight) for name, weight in weights.items()}


@torch.no_grad()
def noisy_posters(pipe, posters: int = POSTERS) -> dict:
    """Arguments of the transformer: true posters with noise of each level, and their captions"""
    trial_list = square_trials(posters)
    drawn = [draw(trial.scene, trial.seed) for trial in trial_list]
    mean, _ = pipe.vae.encode(to_input(drawn))
    data = pack(pipe.vae.normalize(mean)).repeat(len(LEVELS), 1, 1)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor(LEVELS).repeat_interleave(posters)
    states, mask = pipe.encode_prompt([trial.prompt for trial in trial_list] * len(LEVELS))
    return {
        "img": data + sigma[:, None, None] * (noise - data),
        "txt": states,
        "sigma": sigma,
        "grids": [(1, 8, 8)],
        "txt_mask": mask,
    }


@torch.no_grad()
def velocity_error(mmdit, form: Format, inputs: dict) -> float:
    """Relative error of the velocity, compared with the model's own weights."""
    exact = mmdit(**inputs)
    with rounded_to(mmdit, form):
        return relative_error(mmdit(**inputs), exact)


def measure(pipe, trial_list: list, form: Format, base: Path) -> dict:
    """The record's entry for a format. base: PNG of the pictures that bf16 weights paint"""
    with rounded_to(pipe.transformer, form):
        pictures = paint(pipe, trial_list, STEPS, GUIDANCE, quiet=True)
    sheet = contact_sheet(pictures)
    if not base.exists():  # bf16 is the first format
        base.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(base, "PNG")
    exact = cut(np.asarray(Image.open(base)), len(trial_list))
    pixels = [distance(a, b) for a, b in zip(pictures, exact)]
    return marks(trial_list, pictures) | {
        "bits": form.bits,
        "bytes": count_bytes(pipe.transformer, form),
        "layers": {n: round(e, 5) for n, e in layer_errors(pipe.transformer, form).items()},
        "velocity": round(velocity_error(pipe.transformer, form, noisy_posters(pipe)), 5),
        "pixels": " ".join(f"{d:.3f}" for d in pixels),
    }


def scores(entry: dict) -> dict[str, dict]:
    """A format's entry -> {"scene", "word": {"right", "of", "share", "low", "high"}}"""
    counted = {name: entry[name].replace("-", "") for name in ("scene", "word")}
    return {name: interval(each.count("1"), len(each)) for name, each in counted.items()}


def lost(entry: dict, base: dict) -> dict[str, dict]:
    """Two formats' entries -> {"scene", "word": from `paired`}: base minus entry, what is lost"""
    pairs = {
        name: [(b == "1", a == "1") for a, b in zip(entry[name], base[name]) if a != "-"]
        for name in ("scene", "word")
    }
    return {name: paired(*map(list, zip(*both))) for name, both in pairs.items()}


def cut(sheet: np.ndarray, count: int, columns: int = 8) -> list[np.ndarray]:
    """A contact sheet -> its pictures"""
    side = sheet.shape[1] // columns
    places = (divmod(i, columns) for i in range(count))
    return [sheet[r * side : (r + 1) * side, c * side : (c + 1) * side] for r, c in places]


def terms(pipe, captions: int) -> dict:
    """What the record depends on: the pocket weights, the captions and the sampler."""
    return terms_of(pipe, captions) | {"steps": STEPS, "guidance": GUIDANCE}


def survey(pipe, captions: int, file: Path) -> dict:
    """Measure every format and write the record to `file`. Returns the record."""
    trial_list, base = square_trials(captions), file.with_suffix(".base.progress")
    if not base.exists():  # earlier results are of no use without the pictures to compare with
        file.with_suffix(".progress").unlink(missing_ok=True)
    progress = Progress(file, terms(pipe, captions))
    if "bf16" not in progress.results:
        base.unlink(missing_ok=True)
    for name, form in FORMATS.items():
        progress.measure(name, measure, pipe, trial_list, form, base)
    write_record(progress.results, file)
    progress.file.unlink()
    base.unlink()
    return progress.results


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("precision", 200, RECORD, terms, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())
