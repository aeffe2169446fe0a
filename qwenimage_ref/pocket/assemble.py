"""The finished pocket networks as one folder in the official layout."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ..checkpoint import save
from ..checkpoint.model_folder import RECOMMENDED, StoredTextEncoder
from ..config import SchedulerConfig, VisionConfig
from ..files import whole_file
from ..posters.draw import SIDE
from ..provenance import provenance
from ..tokenizer import Tokenizer
from ..train.loop import Recipe
from ..vae import VAE
from ..vision import Vision
from .lessons import LESSONS, Lesson
from .train import Painter

RECORD = "training.json"
# An untrained vision tower: the pocket model reads no pictures, but the official folder has one.
POCKET_VISION = VisionConfig(
    depth=1,
    hidden_size=32,
    num_heads=2,
    intermediate_size=64,
    out_hidden_size=192,
    fullatt_block_indexes=(0,),
)


def write_pocket(folder: Path, vae: VAE, tokenizer: Tokenizer, painter: Painter) -> None:
    """Write data/pocket in bf16, as released weights are; diffusers reads it unchanged."""
    torch.manual_seed(0)
    stored = StoredTextEncoder(painter.text_encoder, Vision(POCKET_VISION))
    for parameter in [*stored.visual.parameters(), stored.lm_head.weight]:
        nn.init.normal_(parameter, std=0.02)
    save(stored, folder / "text_encoder", stem="model", dtype=torch.bfloat16)
    save(painter.transformer, folder / "transformer", dtype=torch.bfloat16)
    save(vae, folder / "vae", dtype=torch.bfloat16)
    tokenizer.save(folder / "tokenizer")
    painter.transformer.config.to_json(
        folder / "transformer" / "config.json", _class_name="QwenImageTransformer2DModel"
    )
    vae.config.to_json(folder / "vae" / "config.json", _class_name="AutoencoderKLQwenImage")
    _write(folder / "text_encoder" / "config.json", _text_encoder_config(painter, tokenizer))
    (folder / "scheduler").mkdir(exist_ok=True)
    SchedulerConfig().to_json(
        folder / "scheduler" / "scheduler_config.json",
        _class_name="FlowMatchEulerDiscreteScheduler",
        use_dynamic_shifting=True,
    )
    index = {
        "_class_name": "QwenImagePipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
        "tokenizer": ["transformers", "Qwen2Tokenizer"],
        "transformer": ["diffusers", "QwenImageTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKLQwenImage"],
    }
    _write(folder / "model_index.json", index)
    _write(folder / RECOMMENDED, {"sample_size": SIDE, "num_inference_steps": 20})


def write_record(
    folder: Path, runs: dict[str, tuple[Recipe, Path]], lessons: Mapping[str, Lesson] = LESSONS
) -> None:
    """Write training.json beside the weights: recipes, logs, sha256 of every file, machine, commit.

    runs: the recipe and the log file of the VAE and of each of the painter's lessons.
    """
    taught = {name: dataclasses.asdict(lesson) for name, lesson in lessons.items()}
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != RECORD)
    record = provenance() | {
        "recipes": {name: dataclasses.asdict(recipe) for name, (recipe, _) in runs.items()},
        "lessons": {
            name: {k: v for k, v in fields.items() if k != "recipe"}
            for name, fields in taught.items()
        },
        "sha256": {
            str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
        },
        "logs": {
            name: [json.loads(line) for line in log.read_text().splitlines()]
            for name, (_, log) in runs.items()
        },
    }
    _write(folder / RECORD, record)


def _text_encoder_config(painter: Painter, tokenizer: Tokenizer) -> dict:
    config, added = painter.text_encoder.config, tokenizer.added
    text = config.to_dict() | {
        "model_type": "qwen2_5_vl_text",
        "rope_scaling": {"type": "default", "mrope_section": list(config.mrope_section)},
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "use_sliding_window": False,
        "tie_word_embeddings": False,
        "bos_token_id": added["<|endoftext|>"],
        "eos_token_id": added["<|im_end|>"],
        "pad_token_id": added["<|endoftext|>"],
    }
    # careful: transformers warns of rope_scaling at the top and reads it from text_config
    top = {key: value for key, value in text.items() if key != "rope_scaling"}
    return top | {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "torch_dtype": "bfloat16",
        "text_config": text,
        "vision_config": POCKET_VISION.to_dict()
        | {"model_type": "qwen2_5_vl", "hidden_act": "silu", "in_channels": 3},
        "image_token_id": added["<|image_pad|>"],
        "video_token_id": added["<|video_pad|>"],
        "vision_start_token_id": added["<|vision_start|>"],
        "vision_end_token_id": added["<|vision_end|>"],
    }


def _write(path: Path, content: dict) -> None:
    with whole_file(path) as partial:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        partial.write_text(text, encoding="utf-8")
