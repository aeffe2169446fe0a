"""The small files of an official folder, written as the releases have them: configs and the index.

Our configs hold the numbers that our networks need. Other libraries read more keys from the same
files; those are added here, and keys that the releases leave out at their default are left out.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from .. import vision
from ..config import MMDiTConfig, SchedulerConfig, TextEncoderConfig, VAEConfig, VisionConfig
from ..files import whole_file
from .model_folder import TEXT_TO_IMAGE

DIFFUSERS = "0.36.0.dev0"  # the version that the configs of the release name
LEFT_OUT = {  # keys with these values, in the releases that do not need them
    "zero_cond_t": False,
    "use_additional_t_cond": False,
    "use_layer3d_rope": False,
    "input_channels": 3,
}
MODEL_INDEX = {
    "_diffusers_version": DIFFUSERS,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "QwenImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLQwenImage"],
}
PROCESSOR = ["transformers", "Qwen2VLProcessor"]  # the entry of edit models in the index
SCHEDULER = {
    "invert_sigmas": False,
    "shift": 1.0,
    "stochastic_sampling": False,
    "use_beta_sigmas": False,
    "use_dynamic_shifting": True,
    "use_exponential_sigmas": False,
    "use_karras_sigmas": False,
}


@dataclass(frozen=True)
class Configs:
    """The numbers of every part; those of the release unless others are given."""

    transformer: MMDiTConfig = field(default_factory=MMDiTConfig.official)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig.official)
    vision: VisionConfig = field(default_factory=VisionConfig.official)
    vae: VAEConfig = field(default_factory=VAEConfig.official)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig.official)
    pipeline: str = TEXT_TO_IMAGE  # upstream's class of the whole


def write_small_files(folder: Path, configs: Configs, added: dict[str, int]) -> None:
    """model_index.json, scheduler and configs; of an edit model the image processor's, too.

    added: ids of the tokenizer's special tokens.
    """
    vae = {"attn_scales": [], "dropout": 0.0} | configs.vae.to_dict()
    contents = {
        "model_index.json": MODEL_INDEX | {"_class_name": configs.pipeline},
        "scheduler/scheduler_config.json": _named(
            "FlowMatchEulerDiscreteScheduler", SCHEDULER | _schedule(configs.scheduler)
        ),
        "text_encoder/config.json": _text_encoder_config(configs, added),
        "transformer/config.json": _named(
            "QwenImageTransformer2DModel", configs.transformer.to_dict()
        ),
        "vae/config.json": _named("AutoencoderKLQwenImage", vae),
    }
    if configs.pipeline != TEXT_TO_IMAGE:
        contents["model_index.json"] |= {"processor": PROCESSOR}
        contents["processor/preprocessor_config.json"] = _processor_config(configs.vision)
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_json(folder / name, content)


def json_text(content: dict) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def write_json(path: Path, content: dict) -> None:
    with whole_file(path) as partial:
        partial.write_text(json_text(content), encoding="utf-8")


def _named(kind: str, numbers: dict) -> dict:
    kept = {k: v for k, v in numbers.items() if k not in LEFT_OUT or v != LEFT_OUT[k]}
    return {"_class_name": kind, "_diffusers_version": DIFFUSERS} | kept


def _schedule(config: SchedulerConfig) -> dict:
    # careful: false, as in the release of Layered, says that the schedule is not stretched
    return config.to_dict() | {"shift_terminal": config.shift_terminal or False}


def _text_encoder_config(configs: Configs, added: dict[str, int]) -> dict:
    """The language tower's numbers twice: on top for older versions of transformers, and nested."""
    numbers = configs.text_encoder.to_dict()
    sections = numbers.pop("mrope_section")
    text = numbers | {
        "rope_scaling": {"mrope_section": sections, "rope_type": "default", "type": "default"},
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 128000,
        "use_sliding_window": False,
        "tie_word_embeddings": False,
        "bos_token_id": added["<|endoftext|>"],
        "eos_token_id": added["<|im_end|>"],
        "pad_token_id": added["<|endoftext|>"],
    }
    vision = {"hidden_act": "silu", "in_channels": 3, "model_type": "qwen2_5_vl"}
    return text | {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "image_token_id": added["<|image_pad|>"],
        "video_token_id": added["<|video_pad|>"],
        "vision_start_token_id": added["<|vision_start|>"],
        "vision_end_token_id": added["<|vision_end|>"],
        "torch_dtype": "bfloat16",
        "text_config": text | {"model_type": "qwen2_5_vl_text"},
        "vision_config": configs.vision.to_dict() | vision,
    }


def _processor_config(numbers: VisionConfig) -> dict:
    """What transformers' image processor does before the vision tower, as vision.py does it."""
    unset = (
        "crop_size", "device", "disable_grouping", "do_center_crop", "do_pad", "input_data_format",
        "pad_size", "return_tensors",
    )  # fmt: skip
    size = {"shortest_edge": vision.MIN_PIXELS, "longest_edge": vision.MAX_PIXELS}
    return dict.fromkeys(unset) | {
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen2VLProcessor",
        "data_format": "channels_first",
        "default_to_square": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(vision.MEAN),
        "image_std": list(vision.STD),
        "min_pixels": vision.MIN_PIXELS,
        "max_pixels": vision.MAX_PIXELS,
        "size": size,
        "resample": 3,  # bicubic
        "rescale_factor": 1 / 255,
        "patch_size": numbers.patch_size,
        "merge_size": numbers.spatial_merge_size,
        "temporal_patch_size": numbers.temporal_patch_size,
    }
