"""A LoRA at several scales, and the same LoRA in the spelling of every trainer."""

import json
from functools import cache
from pathlib import Path

import ipywidgets
import torch
from PIL import Image
from safetensors.torch import save_file

from ...adapt.lora import LoRA
from ...pictures import sheet as in_rows
from ...posters import heart
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, png

SCALES = (-1, 0, 0.5, 1, 1.5)
STEPS = 12  # enough for one shape without a word

# dialect: begin of a key, names of A and B, and where alpha stands
DIALECTS = {
    "PEFT/diffusers": ("transformer.", "lora_A", "lora_B", "in the metadata"),
    "PEFT folder": ("base_model.model.", "lora_A", "lora_B", "in the config beside it"),
    "kohya/musubi": ("lora_unet_", "lora_down", "lora_up", "a tensor"),
    "Lightning": ("", "lora_down", "lora_up", "a tensor"),
    "ComfyUI": ("diffusion_model.", "lora_down", "lora_up", "a tensor"),
    "DiffSynth": ("", "lora_A.default", "lora_B.default", "nowhere"),
    "legacy diffusers": ("transformer.", "lora.down", "lora.up", "nowhere"),
}


def keys(dialect: str, layer: str) -> tuple[str, str, str]:
    """Keys of A, of B and of alpha for a layer, as the dialect spells them."""
    begin, down, up, _ = DIALECTS[dialect]
    name = begin + (layer.replace(".", "_") if begin == "lora_unet_" else layer)
    return f"{name}.{down}.weight", f"{name}.{up}.weight", f"{name}.alpha"


def write(adapter: LoRA, dialect: str, folder: Path, times: float = 1.0) -> Path:
    """The adapter as a file of the dialect, in an empty folder -> the file, or PEFT's folder

    times: B is written so much larger, and alpha as much smaller, so that the product stays; where
    alpha has no place, B is written as it counts.
    """
    place, tensors = DIALECTS[dialect][3], {}
    alphas = {pair.alpha / times for pair in adapter.pairs.values()}
    if len(alphas) != 1:
        raise ValueError(f"the layers must have one alpha to be written so, got {len(alphas)}")
    (alpha,) = alphas
    for layer, pair in adapter.named_pairs().items():
        a, b, alpha_key = keys(dialect, layer)
        by = pair.alpha / pair.rank if place == "nowhere" else times
        tensors[a] = pair.lora_A.detach().clone()
        tensors[b] = pair.lora_B.detach() * by
        if place == "a tensor":
            tensors[alpha_key] = torch.tensor(alpha)
    settings = {"r": next(iter(adapter.pairs.values())).rank, "lora_alpha": alpha}
    if dialect == "PEFT folder":
        (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
        save_file(tensors, folder / "adapter_model.safetensors")
        return folder
    metadata = {"lora_adapter_metadata": json.dumps(settings)} if "metadata" in place else None
    save_file(tensors, folder / "lora.safetensors", metadata=metadata)
    return folder / "lora.safetensors"


def paint(pipe, prompts: list[str], seeds, steps: int = STEPS) -> list[Image.Image]:
    """Pictures guided away from the empty prompt."""
    return pipe(prompts, " ", true_cfg_scale=4, num_inference_steps=steps, seed=list(seeds))


def paint_at(pipe, adapter: LoRA, scale: float, prompts: list[str], seeds) -> list[Image.Image]:
    """Pictures with the adapter at this scale, which it keeps only while they are painted."""
    before, adapter.scale = adapter.scale, float(scale)
    try:
        return paint(pipe, prompts, seeds)
    finally:
        adapter.scale = before


def sheet(pictures: list[Image.Image], columns: int = 8) -> Image.Image:
    """Pictures of one size, row by row, a few pixels apart and without captions."""
    return in_rows(pictures, min(columns, len(pictures)), gap=8, paper=PALETTE["paper"])


def words(scale: float, pictures: list[Image.Image]) -> str:
    """What `heart.found` reads in each picture."""
    return f"scale {scale:g}: " + ", ".join(
        heart.recognised(p) or "nothing known" for p in pictures
    )


class ScaleSlider(Panel):
    """One slider over the pictures of some prompts: how much of the adapter is added."""

    summary = "a slider for the scale of a LoRA over its pictures; run the notebook to move it"

    def __init__(self, pipe, adapter: LoRA, prompts: list[str], seeds, start: float = 0):
        # each scale is painted when it is first asked for
        self.pictures = cache(lambda scale: paint_at(pipe, adapter, scale, prompts, seeds))
        self.scale = slider("scale", SCALES, start)
        self.picture, self.words = picture_box(None, None), ipywidgets.Label()
        super().__init__([self.scale], [self.picture, self.words])

    def state(self, scale: float) -> tuple[bytes, str]:
        pictures = self.pictures(scale)
        return png(sheet(pictures)), words(scale, pictures)
