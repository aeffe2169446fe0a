"""`qwenimage validate` on control networks: InstantX's agrees with diffusers', damage is named."""

from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY
from safetensors.torch import load_file, save_file

from qwenimage_ref import cli
from qwenimage_ref.adapt.control_forge import forge_control
from qwenimage_ref.parity.validate.checkpoints import Checkpoints
from qwenimage_ref.parity.validate.control import control_rows

SMALL = replace(TINY.transformer, num_layers=6)
KEY = "controlnet_blocks.1.weight"


def forged(folder, name):
    forge_control(folder, name, SMALL)
    return folder


def both(ours, theirs, dtype=torch.float32) -> Checkpoints:
    return Checkpoints(ours, theirs, dtype, torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["union", "inpainting"])
def test_equal_networks_agree(tmp_path, name, dtype):
    folder = forged(tmp_path / name, name)
    (row,) = control_rows(both(folder, folder, dtype))
    assert row.ok and row.stage == "control" and row.cosine > 0.999, str(row)


def test_a_tensor_that_differs_is_named(tmp_path):
    folders = [forged(tmp_path / name, "union") for name in ("one", "two")]
    file = folders[1] / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors[KEY] *= 1.5
    file.unlink()
    save_file(tensors, file, metadata={"format": "pt"})
    (row,) = control_rows(both(*folders))
    assert not row.ok and row.tensors == (KEY,)


def test_the_command_takes_the_folder_and_a_blockwise_one_is_one_line(tmp_path, capsys):
    record = ["--record", str(tmp_path / "validate.json")]
    assert cli.main(["validate", str(forged(tmp_path / "union", "union")), *record]) == 0
    assert "Every stage agrees." in capsys.readouterr().out
    assert cli.main(["validate", str(forged(tmp_path / "canny", "canny")), *record]) == 2
    error = capsys.readouterr().err
    assert "must hold InstantX's control network to be compared" in error
    assert "Traceback" not in error
