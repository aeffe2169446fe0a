"""`qwenimage validate`: whole on a forged checkpoint, and every kind of damaged tensor is named."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_net import on_meta
from tiny_model import TINY

from qwenimage_ref.cli import main
from qwenimage_ref.forge import forge
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.report import Row
from qwenimage_ref.parity.sides import Sides
from qwenimage_ref.parity.stages import schedule_stage, stack_stage, text_stage, vae_stage
from qwenimage_ref.released import STEMS
from qwenimage_ref.structure import stored_form
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE

SIDE = 32  # pixels: 2x2 tokens
CONFIGS = replace(
    TINY,
    transformer=replace(TINY.transformer, num_layers=3),
    text_encoder=replace(TINY.text_encoder, num_hidden_layers=2),
    # so wide that no norm sees only numbers near zero, which would magnify the last bits
    vae=replace(TINY.vae, base_dim=16),
)
UNREAD = re.compile(r".*time_conv")  # no picture depends on it; `verify` sees its shape


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    forge(folder, CONFIGS)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"sample_size": SIDE}))
    return folder


def damaged(folder: Path, part: str, key: str, damage) -> Path:
    """A copy in which one tensor is another."""
    copy = folder.parent / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, copy_function=os.link)
    file = copy / part / f"{STEMS[part]}.safetensors"
    tensors = load_file(file)
    tensors[key] = damage(tensors[key].float()).bfloat16()
    file.unlink()  # careful: it is the whole one's, too
    save_file(tensors, file, metadata={"format": "pt"})
    return copy


def three_per_cent(tensor):
    """More of it; of a bias, which is forged zero, three per cent of what a matrix has."""
    return tensor * 1.03 if tensor.any() else tensor + 0.03 * 0.02


def kinds() -> list[tuple[str, str]]:
    """(part, key) of one tensor of every name, whatever the numbers in it."""
    found: dict[tuple, list] = {}
    for part, kind in (("text_encoder", TextEncoder), ("transformer", MMDiT), ("vae", VAE)):
        for key in stored_form(on_meta(kind, getattr(CONFIGS, part))):
            if not UNREAD.match(key):
                found.setdefault((part, re.sub(r"\.\d+\.", ".*.", key)), []).append(key)
    return [(part, keys[len(keys) // 2]) for (part, _), keys in found.items()]


def noise(*shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def stages(sides: Sides, part: str) -> list[Row]:
    """The rows of the stages that read one part."""
    if part == "text_encoder":
        return list(text_stage(sides, [[*range(40)], [*range(36)]]))
    if part == "vae":
        return list(vae_stage(sides, noise(1, 3, SIDE, SIDE).clamp(-1, 1)))
    rows, stage = [], schedule_stage(sides, noise(1, 16, 4, 4))
    try:
        while True:
            rows.append(next(stage))
    except StopIteration as end:
        return rows + list(stack_stage(sides, end.value, [noise(1, 7, 48), noise(1, 3, 48)]))


def sides(ours: Path, theirs: Path, dtype=torch.float32) -> Sides:
    return Sides(ours, theirs, dtype, torch.device("cpu"))


@pytest.mark.parametrize("part, key", kinds(), ids=lambda name: name)
def test_one_damaged_tensor_of_the_reference_is_found_and_named(tiny, part, key):
    rows = stages(sides(tiny, damaged(tiny, part, key, three_per_cent)), part)
    first = next(row for row in rows if not row.ok)
    assert first.tensors == (key,)
