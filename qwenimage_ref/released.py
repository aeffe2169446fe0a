"""What a released folder holds: its parts, their networks without weights, its recommendations."""

import json
from pathlib import Path

import torch
from torch import nn

from .config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from .files import CheckpointError
from .mmdit import MMDiT
from .text_encoder import TextEncoder
from .vae import VAE
from .vision import Vision

STEMS = {  # of the weight files of each part, as transformers and diffusers name theirs
    "text_encoder": "model",
    "transformer": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}


class StoredTextEncoder(nn.Module):
    """What the official text_encoder folder holds: vision tower, language tower, lm_head."""

    def __init__(self, text_encoder: TextEncoder, vision: Vision):
        super().__init__()
        config = text_encoder.config
        self.visual = vision
        self.model = text_encoder.model
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)


def empty_networks(folder: Path) -> dict:
    """A folder -> its text_encoder, transformer and vae without weights, on the meta device"""
    with torch.device("meta"):
        return {
            "text_encoder": TextEncoder(_config(TextEncoderConfig, folder, "text_encoder")),
            "transformer": MMDiT(_config(MMDiTConfig, folder, "transformer")),
            "vae": VAE(_config(VAEConfig, folder, "vae")),
        }


def stored_networks(folder: Path) -> dict:
    """The same with everything that the files hold: the vision tower and lm_head, too"""
    networks = empty_networks(folder)
    with torch.device("meta"):
        vision = Vision(_config(VisionConfig, folder, "text_encoder"))
        networks["text_encoder"] = StoredTextEncoder(networks["text_encoder"], vision)
    return networks


def _config(kind, folder: Path, part: str):
    return kind.from_json(folder / part / "config.json")


def read_model_index(folder: Path) -> dict:
    """model_index.json -> what it recommends: sample_size, num_inference_steps

    Raises CheckpointError for a folder that is not a text-to-image model.
    """
    file = folder / "model_index.json"
    try:
        index = json.loads(file.read_text(encoding="utf-8"))
        name = index["_class_name"]
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} holds no model_index.json; give the folder that contains transformer/, "
            "text_encoder/, vae/"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise CheckpointError(f"{file} is damaged; fetch it again") from None
    if name != "QwenImagePipeline":
        raise CheckpointError(
            f"{folder} is a {name}; only QwenImagePipeline, text to image, is here"
        )
    known = {key: index[key] for key in ("sample_size", "num_inference_steps") if key in index}
    if wrong := [key for key, value in known.items() if type(value) is not int or value < 1]:
        raise CheckpointError(f"{file}: {wrong[0]} must be a whole number; correct it")
    return known
