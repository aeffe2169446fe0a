"""Fewer bits for each weight: what that costs in error and in pictures, on the pocket model.

python -m qwenimage_ref.evaluate.precision     minutes; killed and called again, it goes on

The weights of all blocks are kept in a format and unpacked again, the rest of the transformer stays
as it is; every format paints the same captions from the same noise. What is found is kept in
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
from ..repository import DATA, in_a_clone
from ..sampler import pack
from .intervals import interval, paired
from .score import contact_sheet, paint, trials
from .settings import Progress, distance, marks, survey_command, terms_of

RECORD = DATA / "measurements" / "precision.json"
STEPS, GUIDANCE = 8, 4.0  # of every picture
LEVELS = (0.9, 0.6, 0.3)  # of noise, at which the velocity is compared
POSTERS = 4  # noisy posters at each of them


def as_fp8(weight, granularity: str):
    """(out, in) -> (out, in): through float8_e4m3fn, "plain" or with a scale a "tensor" """
    return unpack_fp8(*quantize_fp8(weight, granularity), torch.float32)


def as_gguf(weight, kind: str):
    """(out, in) -> (out, in): through the bytes of a GGUF file"""
    return gguf_blocks.decode(gguf_blocks.encode(weight, kind), kind)


def in_blocks(weight, bits: int, block: int = 32):
    """(..., n block) -> the same shape: each block in whole numbers of so many bits, with a scale

    The recipe of Q4_0 for any number of bits: the number of largest magnitude becomes the lowest
    whole number, -(2 ** (bits - 1)), and the scale is a float16.
    """
    half = 2 ** (bits - 1)
    blocks = weight.unflatten(-1, (-1, block))
    scale = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)) / -half
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    q = (blocks * inverse + half + 0.5).trunc().clamp(0, 2 * half - 1) - half
    return (q * scale.half().float()).flatten(-2)


def one_scale(weight, bits: int):
    """(out, in) -> (out, in): the same with one block, the whole layer"""
    return in_blocks(weight.flatten(), bits, weight.numel()).view_as(weight)


@dataclass(frozen=True)
class Format:
    """A way to keep the weight of a linear layer."""

    bits: float  # for each weight, with its share of a block's scale
    rounded: Callable  # weight -> what is unpacked of it
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
    """The layers whose weights are packed, by official name: all linear ones of the blocks."""
    named = mmdit.transformer_blocks.named_modules(prefix="transformer_blocks")
    return {name: layer for name, layer in named if isinstance(layer, nn.Linear)}


def count_bytes(mmdit, form: Format) -> int:
    """What the transformer takes in a format, everything that is not packed in bf16."""
    packed = [layer.weight.numel() for layer in linears(mmdit).values()]
    others = sum(p.numel() for p in mmdit.parameters()) - sum(packed)
    return math.ceil(sum(packed) * form.bits / 8) + form.scale * len(packed) + 2 * others


@contextlib.contextmanager
def kept_in(mmdit, form: Format):
    """The transformer with the weights that a format leaves of its own; as it was afterwards."""
    layers = linears(mmdit).values()
    own = [layer.weight.data for layer in layers]
    try:
        for layer in layers:
            layer.weight.data = form.rounded(layer.weight.data)
        yield mmdit
    finally:
        for layer, weight in zip(layers, own):
            layer.weight.data = weight


def off(found, true) -> float:
    """Two tensors of one shape -> their distance, as a share of the length of the true one"""
    return ((found - true).norm() / true.norm()).item()


def layer_errors(mmdit, form: Format) -> dict[str, float]:
    """How far each packed weight is from its own, relative."""
    weights = {name: layer.weight.data for name, layer in linears(mmdit).items()}
    return {name: off(form.rounded(weight), weight) for name, weight in weights.items()}


@torch.no_grad()
def questions(pipe, posters: int = POSTERS) -> dict:
    """Arguments of the transformer: noisy posters at each level, with the captions they are of"""
    made = trials(posters)
    drawn = [draw(trial.scene, trial.seed) for trial in made]
    mean, _ = pipe.vae.encode(to_input(drawn))
    data = pack(pipe.vae.normalize(mean)).repeat(len(LEVELS), 1, 1)
    noise = torch.randn(data.shape, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor(LEVELS).repeat_interleave(posters)
    states, mask = pipe.encode_prompt([trial.prompt for trial in made] * len(LEVELS))
    return {
        "img": data + sigma[:, None, None] * (noise - data),
        "txt": states,
        "sigma": sigma,
        "grids": [(1, 8, 8)],
        "txt_mask": mask,
    }


@torch.no_grad()
def velocity_error(mmdit, form: Format, asked: dict) -> float:
    """How far the velocity is from that of the model as it is, relative."""
    true = mmdit(**asked)
    with kept_in(mmdit, form):
        return off(mmdit(**asked), true)


def measure(pipe, made: list, form: Format, base: Path) -> dict:
    """What the record holds of a format. base: PNG of the pictures of the model as it is"""
    with kept_in(pipe.transformer, form):
        pictures = paint(pipe, made, STEPS, GUIDANCE, quiet=True)
    sheet = contact_sheet(pictures)
    if not base.exists():  # the first format is bf16, as the files are
        base.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet).save(base, "PNG")
    true = cut(np.asarray(Image.open(base)), len(made))
    far = [distance(a, b) for a, b in zip(pictures, true)]
    return marks(made, pictures) | {
        "bits": form.bits,
        "bytes": count_bytes(pipe.transformer, form),
        "layers": {n: round(e, 5) for n, e in layer_errors(pipe.transformer, form).items()},
        "velocity": round(velocity_error(pipe.transformer, form, questions(pipe)), 5),
        "pixels": " ".join(f"{d:.3f}" for d in far),
    }


def scores(found: dict) -> dict[str, dict]:
    """A format's entry -> {"scene", "word": {"right", "of", "share", "low", "high"}}"""
    asked = {name: found[name].replace("-", "") for name in ("scene", "word")}
    return {name: interval(given.count("1"), len(given)) for name, given in asked.items()}


def lost(found: dict, base: dict) -> dict[str, dict]:
    """Two formats' entries -> {"scene", "word": of `paired`}: what the first loses"""
    pairs = {
        name: [(b == "1", a == "1") for a, b in zip(found[name], base[name]) if a != "-"]
        for name in ("scene", "word")
    }
    return {name: paired(*map(list, zip(*both))) for name, both in pairs.items()}


def cut(sheet: np.ndarray, count: int, columns: int = 8) -> list[np.ndarray]:
    """A contact sheet -> its pictures"""
    side = sheet.shape[1] // columns
    places = (divmod(i, columns) for i in range(count))
    return [sheet[r * side : (r + 1) * side, c * side : (c + 1) * side] for r, c in places]


def terms(pipe, captions: int) -> dict:
    """What the record depends on."""
    return terms_of(pipe, captions) | {"steps": STEPS, "guidance": GUIDANCE}


def survey(pipe, captions: int, file: Path) -> dict:
    """Measure every format -> the record, which is also written"""
    made, base = trials(captions), file.with_suffix(".base.progress")
    if not base.exists():  # then nothing that was found can be gone on with
        file.with_suffix(".progress").unlink(missing_ok=True)
    progress = Progress(file, terms(pipe, captions))
    if "bf16" not in progress.found:
        base.unlink(missing_ok=True)
    for name, form in FORMATS.items():
        progress.keep(name, measure, pipe, made, form, base)
    write_record(progress.found, file)
    progress.file.unlink()
    base.unlink()
    return progress.found


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("precision", 200, RECORD, terms, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())
