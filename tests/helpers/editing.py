"""Edit folders for tests: the pocket's weights under the classes of the edit pipelines, and those.

The weights are trained on text alone, so the pictures are no edits; but every number of both sides
has to be the same. Official sizes are replaced by small ones on both sides.
"""

import functools
import json
import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.qwenimage import (
    pipeline_qwenimage_edit,
    pipeline_qwenimage_edit_inpaint,
    pipeline_qwenimage_edit_plus,
)
from PIL import Image
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.processing_qwen2_vl import Qwen2VLProcessor

from qwenimage_ref.checkpoint.config_files import PROCESSOR, _processor_config
from qwenimage_ref.conditions import edit_prefix
from qwenimage_ref.config import VisionConfig
from qwenimage_ref.vision import preprocess, resize_pil

POCKET = Path(__file__).parents[2] / "data" / "pocket"
EDIT, EDIT_PLUS = "QwenImageEditPipeline", "QwenImageEditPlusPipeline"
EDITING = import_module("qwenimage_ref.tasks.edit")  # the room has a function of this name
SIDE, READ = 96, 64  # of the VAE's and of the vision tower's copies
INSTRUCTION = 'make the circle green and write "OK"'


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coloured noise in large spots, with a gradient: nothing in it is symmetric."""
    rng = np.random.default_rng(seed)
    spots = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    return spots.resize((width, height), Image.Resampling.BICUBIC)


def as_pipeline(folder: Path, pipeline: str, sizes: dict[str, int]) -> None:
    """Make a folder one of that class: processor, index, and the recommended sizes."""
    (folder / "processor").mkdir()
    for file in (POCKET / "tokenizer").iterdir():
        os.symlink(file, folder / "processor" / file.name)
    vision = VisionConfig.from_json(POCKET / "text_encoder" / "config.json")
    content = json.dumps(_processor_config(vision))
    (folder / "processor" / "preprocessor_config.json").write_text(content)
    index = json.loads((POCKET / "model_index.json").read_text("utf-8"))
    index |= {"_class_name": pipeline, "processor": PROCESSOR}
    (folder / "model_index.json").write_text(json.dumps(index))
    recommended = sizes | {"num_inference_steps": 20}
    (folder / "recommended.json").write_text(json.dumps(recommended))


def edit_folder(folder: Path, pipeline: str, **transformer) -> Path:
    """The pocket's files under another class of pipeline. transformer: changes of its config."""
    folder.mkdir()
    for name in ("scheduler", "text_encoder", "tokenizer", "vae"):
        os.symlink(POCKET / name, folder / name)
    (folder / "transformer").mkdir()
    for file in (POCKET / "transformer").glob("*.safetensors"):
        os.symlink(file, folder / "transformer" / file.name)
    config = json.loads((POCKET / "transformer" / "config.json").read_text("utf-8"))
    (folder / "transformer" / "config.json").write_text(json.dumps(config | transformer))
    as_pipeline(folder, pipeline, {"sample_size": SIDE, "reading_size": READ})
    return folder


def reference(folder: Path, kind, monkeypatch):
    """A pipeline of diffusers with our small sizes, and without what it has of another tokenizer.

    It is given the type of each token, without which transformers from version 5 on does not see
    that some of them are pictures.
    """
    monkeypatch.setattr(
        EDITING,
        "preprocess",
        functools.partial(preprocess, resize=resize_pil),
    )
    for module in (
        pipeline_qwenimage_edit, pipeline_qwenimage_edit_inpaint, pipeline_qwenimage_edit_plus
    ):  # fmt: skip
        official = module.calculate_dimensions

        def small(area, ratio, official=official):
            return official({1024**2: SIDE**2, 384**2: READ**2}.get(area, area), ratio)

        monkeypatch.setattr(module, "calculate_dimensions", small)
    theirs = kind.from_pretrained(folder, processor=processor(folder), dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    encoder = theirs.text_encoder
    plain, pad = encoder.forward, encoder.config.image_token_id

    def forward(input_ids, **inputs):
        types = (input_ids == pad).int()
        return plain(input_ids=input_ids, mm_token_type_ids=types, **inputs)

    encoder.forward = forward
    return theirs


def processor(folder: Path) -> Qwen2VLProcessor:
    """transformers' image processor with PIL's filter, for which no torchvision is needed."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder / "processor")
    with pytest.MonkeyPatch.context() as patch:  # one for films is asked for and never used
        patch.setattr(Qwen2VLProcessor, "check_argument_for_proper_class", lambda *_: None)
        return Qwen2VLProcessor(image_processor, tokenizer, None)


def start_of_prompts(theirs, tokenizer) -> None:
    """What diffusers drops is a number; with the pocket's tokenizer it is another."""
    theirs.prompt_template_encode_start_idx = edit_prefix(tokenizer)
