"""Layered folders for tests: the pocket's weights with a fourth channel, and diffusers' pipeline.

The weights are trained on text alone and their additions are random, so the layers show nothing;
but every number of both sides has to be the same. The official sizes are replaced by small ones on
both sides.
"""

import functools
import json
import os
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from diffusers import QwenImageLayeredPipeline
from diffusers.pipelines.qwenimage import pipeline_qwenimage_layered
from PIL import Image
from safetensors.torch import load_file, save_file

from helpers.editing import POCKET, as_pipeline, picture, processor
from helpers.tiny_model import TINY
from qwenimage_ref.checkpoint.config_files import Configs
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.vision import preprocess, resize_pil

LAYERED = "QwenImageLayeredPipeline"
SIDE = 96  # of the VAE's copies
MARKS = {"use_layer3d_rope": True, "use_additional_t_cond": True}
SCHEDULE = {"time_shift_type": "linear", "shift_terminal": False}


def transparent(width: int, height: int, seed: int = 0) -> Image.Image:
    """A picture of coloured spots whose transparency changes from left to right"""
    result = picture(width, height, seed).convert("RGBA")
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    result.putalpha(Image.fromarray(np.tile(ramp, (height, 1))))
    return result


def tiny_layered(pipeline=LAYERED, transformer=True, vae=4, schedule="linear") -> Configs:
    """Numbers of a tiny layered model, or of a mixture that is none"""
    marks = MARKS if transformer else {}
    return replace(
        TINY,
        transformer=replace(TINY.transformer, **marks),
        vae=replace(TINY.vae, input_channels=vae),
        scheduler=SchedulerConfig(time_shift_type=schedule, shift_terminal=0.0),
        pipeline=pipeline,
    )


def layered_folder(folder: Path, seed: int = 0) -> Path:
    """The pocket's files as a layered model's"""
    generator = torch.Generator().manual_seed(seed)
    folder.mkdir()
    for name in ("text_encoder", "tokenizer"):
        os.symlink(POCKET / name, folder / name)
    _with_changes(folder, "transformer", MARKS, functools.partial(_with_row, generator=generator))
    channel = functools.partial(_with_channel, generator=generator)
    _with_changes(folder, "vae", {"input_channels": 4}, channel)
    config = json.loads((POCKET / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config | SCHEDULE))
    as_pipeline(folder, LAYERED, {"sample_size": SIDE})
    return folder


def _with_changes(folder: Path, part: str, numbers: dict, change) -> None:
    """A part of the pocket with other numbers in its config and changed tensors"""
    (folder / part).mkdir()
    config = json.loads((POCKET / part / "config.json").read_text("utf-8"))
    (folder / part / "config.json").write_text(json.dumps(config | numbers))
    name = "diffusion_pytorch_model.safetensors"
    tensors = load_file(POCKET / part / name)
    change(tensors)
    save_file(tensors, folder / part / name, metadata={"format": "pt"})


def _with_row(tensors: dict, generator) -> None:
    width = tensors["img_in.bias"].shape[0]
    rows = 0.3 * torch.randn(2, width, generator=generator)
    tensors["time_text_embed.addition_t_embedding.weight"] = rows.to(tensors["img_in.bias"])


def _with_channel(tensors: dict, generator) -> None:
    """Alpha in and out of the VAE"""
    for key, axis in (
        ("encoder.conv_in.weight", 1),
        ("decoder.conv_out.weight", 0),
        ("decoder.conv_out.bias", 0),
    ):
        tensor = tensors[key]
        mean = tensor.narrow(axis, 0, 1)
        noise = tensor.float().std() * torch.randn(mean.shape, generator=generator)
        tensors[key] = torch.cat([tensor, mean + noise.to(tensor)], dim=axis).contiguous()


def reference(folder: Path, monkeypatch) -> QwenImageLayeredPipeline:
    """diffusers' pipeline with our small sizes"""
    monkeypatch.setattr(
        import_module("qwenimage_ref.tasks.captions"),
        "preprocess",
        functools.partial(preprocess, resize=resize_pil),
    )
    official = pipeline_qwenimage_layered.calculate_dimensions
    monkeypatch.setattr(
        pipeline_qwenimage_layered,
        "calculate_dimensions",
        lambda area, ratio: official(SIDE**2 if area == 640**2 else area, ratio),
    )
    theirs = QwenImageLayeredPipeline.from_pretrained(
        folder, processor=processor(folder), dtype=torch.float32
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs
