"""Parts of the tiny model, written as the single files that circulate."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint import load_into
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.formats import fp8
from qwenimage_ref.formats.recognise import PREFIXES as ALL_PREFIXES

PREFIXES, VAE_PREFIXES = ALL_PREFIXES["transformer"], ALL_PREFIXES["vae"]
POCKET = Path(__file__).parents[2] / "data" / "pocket"
LATER = {"model.": "model.language_model.", "visual.": "model.visual."}  # official: later
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])


def official(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """Every tensor that the folder stores of a part."""
    return load_file(next((folder / part).glob("*.safetensors")))


def written(file: Path, tensors: dict, rename=lambda key: key, dtype=None) -> Path:
    """A single file of these tensors, under other names and in another type."""
    save_file({rename(key): t.to(dtype or t.dtype) for key, t in tensors.items()}, file)
    return file


def prefixed(prefix: str):
    return lambda key: prefix + key


def later(key: str) -> str:
    """The name that transformers gives it from 4.52 on."""
    start, dot, rest = key.partition(".")
    return LATER.get(start + dot, start + dot) + rest


def calls() -> list[tuple]:
    """What the tiny MMDiT is asked: twelve image tokens, five of text."""
    generator = torch.Generator().manual_seed(0)
    img, txt = (torch.randn(1, *size, generator=generator) for size in ((12, 64), (5, 48)))
    return [(img, txt, torch.tensor([0.7]), [(1, 3, 4)], None)]


def loaded(folder: Path, part: str) -> torch.nn.Module:
    """The part as the folder itself is loaded, in float32."""
    network = empty_network(folder, part)
    load_into(network, folder / part, torch.float32, unused=("visual.", "lm_head."))
    return network


def fp8_tower(tensors: dict, how: str) -> dict[str, torch.Tensor]:
    """A text encoder as ComfyUI quantises it: linear layers and those of the vision tower."""
    kept, scales = {}, {}
    for key, tensor in tensors.items():
        layer = key.removesuffix(".weight")
        packed = key.endswith(".weight") and tensor.ndim == 2 and ("proj" in key or "mlp" in key)
        weight, scale = fp8.quantize_fp8(tensor, how) if packed else (tensor, None)
        kept[key] = weight
        scales |= {} if scale is None else {f"{layer}.scale_weight": scale}
    mark = {} if how == "plain" else {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    return kept | scales | mark
