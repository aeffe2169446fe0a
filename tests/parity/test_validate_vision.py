"""`qwenimage validate` on models that are given pictures: both vision towers, and what is wrong."""

from dataclasses import replace

import pytest
import torch
from helpers.editing import picture
from helpers.tiny_model import TINY
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint.forge import EDIT_PLUS, forge
from qwenimage_ref.parity.validate.checkpoints import Checkpoints
from qwenimage_ref.parity.validate.run import validate
from qwenimage_ref.parity.validate.stages import vision_stage

VISION = replace(TINY.vision, depth=3, fullatt_block_indexes=(1,))
CONFIGS = replace(TINY, vision=VISION, pipeline=EDIT_PLUS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A forged edit model, and a copy with one other tensor in its vision tower"""
    top = tmp_path_factory.mktemp("models")
    for name in ("whole", "other"):
        forge(top / name, CONFIGS)
    file = top / "other" / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    tensors["visual.blocks.1.mlp.up_proj.weight"] *= 1.5
    file.unlink()
    save_file(tensors, file, metadata={"format": "pt"})
    return top / "whole", top / "other"


def both(ours, theirs, dtype=torch.float32) -> Checkpoints:
    return Checkpoints(ours, theirs, dtype, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_towers_agree(folders, dtype):
    (row,) = vision_stage(both(folders[0], folders[0], dtype), picture(100, 70))
    assert row.ok and row.what == "4x8 patches, every module", str(row)


def test_a_tensor_that_differs_is_named_as_in_the_files(folders):
    (row,) = vision_stage(both(*folders), picture(100, 70))
    assert not row.ok and row.parts_at.startswith("visual.blocks.1.mlp")
    assert row.tensors == ("visual.blocks.1.mlp.up_proj.weight",)


def test_the_tower_is_a_stage_of_an_edit_model_behind_the_text(folders):
    stages = []
    for row in validate(both(folders[0], folders[0])):
        stages.append(row.stage)
        if row.stage == "vision":
            break
    assert row.ok and stages[-2:] == ["text states", "vision"]
