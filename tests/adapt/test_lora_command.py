"""`--lora FILE=SCALE` and `--lora-partial`, as the command takes them."""

from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import save_file

from qwenimage_ref import cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.pipeline import QwenImage

LAYER = "diffusion_model.transformer_blocks.0.attn.to_q"


def write(file, **more):
    save_file(
        {f"{LAYER}.lora_down.weight": torch.zeros(1, 192)}
        | {f"{LAYER}.lora_up.weight": torch.zeros(192, 1)}
        | more,
        file,
    )


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A function that runs `paint` with --lora and returns what lora.load is asked for."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def load(_model, *options):
        calls.append(options)
        raise lora.LoRAError("enough")

    def run(*options):
        with monkeypatch.context() as patched:
            patched.setattr(lora, "load", load)
            patched.setattr(QwenImage, "from_pretrained", lambda *_, **__: Mock())
            assert cli.main(["paint", "a red circle", *options]) == 2
        return calls.pop() if calls else None

    return run


@pytest.mark.parametrize(
    "file, text, scale",
    [
        ("a.safetensors", "a.safetensors", 1),
        ("a.safetensors", "a.safetensors=-0.5", -0.5),
        ("epoch=0-step=500.safetensors", "epoch=0-step=500.safetensors", 1),
        ("epoch=0-step=500.safetensors", "epoch=0-step=500.safetensors=0.25", 0.25),
        ("a=2", "a=2", 1),
    ],
)
def test_a_file_s_own_equals_signs_are_no_scale(file, text, scale, asked, tmp_path):
    (tmp_path / file).touch()
    assert asked("--lora", text) == (file, scale, False)


@pytest.mark.parametrize("text", ["a.safetensors=nan", "a.safetensors=inf", "a.safetensors=much"])
def test_a_scale_that_is_no_finite_number_is_refused(text, asked, tmp_path, capsys):
    (tmp_path / "a.safetensors").touch()
    assert asked("--lora", text) is None
    line = capsys.readouterr().err
    assert line.endswith(f"with a finite scale, for example my=0.8, got {text}\n")


def test_a_file_that_is_not_there_is_refused_before_the_model_is_loaded(asked, capsys):
    assert asked("--lora", "none.safetensors=0.5") is None
    assert capsys.readouterr().err == (
        "qwenimage: --lora must be a file that exists, got none.safetensors; check the path\n"
    )


def test_the_interface_refuses_a_scale_that_is_not_finite(tmp_path):
    write(tmp_path / "a.safetensors")
    with pytest.raises(lora.LoRAError, match="scale must be finite, got nan"):
        lora.load(torch.nn.Linear(1, 1), tmp_path / "a.safetensors", float("nan"))


def test_a_file_is_loaded_in_part_when_asked(tmp_path, capsys):
    file = tmp_path / "both.safetensors"
    write(file, **{"text_encoder.model.layers.0.mlp.up_proj.lora_A.weight": torch.zeros(1, 2)})
    paint = ["paint", "a red circle", "-o", str(tmp_path / "a.png"), "--steps", "2", "--cfg", "1"]
    assert cli.main([*paint, "--lora", str(file)]) == 2
    assert "it adapts the text encoder" in capsys.readouterr().err
    assert cli.main([*paint, "--lora", str(file), "--lora-partial"]) == 0
    assert "1 keys left out (text_encoder.model" in capsys.readouterr().err
