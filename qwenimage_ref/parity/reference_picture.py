"""Whole pictures by diffusers' own pipeline, from a folder in the official layout."""

from pathlib import Path

import torch
from diffusers import QwenImagePipeline
from diffusers.utils import logging as diffusers_logging
from PIL import Image
from transformers.utils import logging as transformers_logging


def reference_pipeline(folder: Path) -> QwenImagePipeline:
    """diffusers' pipeline with the weights of a folder, in float32"""
    for logging in (diffusers_logging, transformers_logging):
        logging.disable_progress_bar()
        logging.set_verbosity_error()  # both warn about our recommended settings
    pipe = QwenImagePipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def reference_pictures(folder: Path, prompts: list[str], seed: int, steps: int, side: int):
    """Pictures of side x side pixels by diffusers, guidance 4 with the negative prompt " "."""
    painted: list[Image.Image] = reference_pipeline(folder)(
        prompts,
        negative_prompt=[" "] * len(prompts),
        true_cfg_scale=4.0,
        height=side,
        width=side,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
    ).images
    return painted
