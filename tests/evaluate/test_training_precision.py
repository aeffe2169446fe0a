"""What bfloat16 costs in training, measured and recorded."""

import json

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import training_precision
from qwenimage_ref.repository import POCKET, ROOT


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


def test_each_part_computes_in_the_numbers_it_is_asked_for(pipe, monkeypatch):
    kinds, products = [], torch.Tensor.__matmul__
    parts = training_precision.parts_of(pipe)
    seen = lambda module, given, answer: kinds.append(answer.dtype)  # noqa: E731
    layers = [pipe.vae.quant_conv, pipe.transformer.img_in]
    hooks = [layer.register_forward_hook(seen) for layer in layers]
    for bf16 in (False, True):
        parts["VAE"](bf16)
        parts["transformer"](bf16)
    for hook in hooks:
        hook.remove()
    assert kinds == [torch.float32] * 2 + [torch.bfloat16] * 2
    kinds.clear()
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda x, y: kinds.append(x.dtype) or products(x, y)
    )
    parts["Muon"](False)
    assert set(kinds) == {torch.float32}
    kinds.clear()
    parts["Muon"](True)
    assert set(kinds) == {torch.bfloat16}


def test_the_fewest_seconds_count(pipe, monkeypatch):
    clock = iter([0.0, 4.0, 0.0, 6.0, 0.0, 3.0, 0.0, 9.0])
    monkeypatch.setattr(training_precision.time, "process_time", lambda: next(clock))
    monkeypatch.setattr(training_precision, "parts_of", lambda pipe: {"one": lambda bf16: None})
    record = training_precision.measure(pipe, rounds=2)
    assert record["seconds"] == {"one": {"float32": 3.0, "bfloat16": 6.0}}
    assert record["gains"] == {"one": 2.0}


def test_the_record_is_that_of_a_machine_on_which_float32_is_faster():
    record = json.loads(training_precision.RECORD.read_text(encoding="utf-8"))
    assert record["gains"].keys() == record["seconds"].keys() == {"VAE", "transformer", "Muon"}
    assert min(record["gains"].values()) > 1


def test_readme_says_what_was_recorded():
    gains = json.loads(training_precision.RECORD.read_text(encoding="utf-8"))["gains"]
    words = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    vae, transformer, muon = (f"{gains[part]:.2g}" for part in ("VAE", "transformer", "Muon"))
    assert f"through the VAE would take {vae} times as long in bfloat16" in words
    assert f"one through the transformer {transformer} times" in words
    assert f"torch's Muon takes {muon} times as long as ours" in words
