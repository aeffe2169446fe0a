"""Variants of the pocket model: kept without what the painter has, and whole again when opened."""

import shutil

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.pocket import edit_lessons, editor, variants
from qwenimage_ref.repository import POCKET


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An editor that has learned nothing yet, and its folder"""
    folder = tmp_path_factory.mktemp("variants") / "trained"
    return editor.new_editor(POCKET, folder, edit_lessons.LESSONS["edit"]), folder


@pytest.fixture
def kept(trained, tmp_path, monkeypatch):
    """Where a variant called `edit` is kept"""
    monkeypatch.setattr(variants, "VARIANTS", tmp_path / "kept")
    return variants.keep(trained[1], "edit", variants.VARIANTS)


def near(a, b, error):
    """True if no weight is further from its own than that share of its norm"""
    numbers = dict(a.named_parameters())
    return all((numbers[n] - p).norm() <= error * p.norm() for n, p in b.named_parameters())


def same(a, b):
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0] | states[1])


def test_what_the_painter_has_is_not_kept_again(kept):
    files = {str(file.relative_to(kept)) for file in kept.rglob("*")}
    assert {"transformer.safetensors", "text_encoder/model.rows.safetensors"} <= files
    assert "text_encoder/model.safetensors" not in files
    shared = {"vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"}
    assert not (shared | {str(variants.WEIGHTS)}) & files
    packed, plain = kept / "transformer.safetensors", POCKET / variants.WEIGHTS
    assert packed.stat().st_size < 0.56 * plain.stat().st_size


def test_an_opened_variant_is_near_the_trained_one_and_what_is_shared_is_the_same(trained, kept):
    pipe, own = variants.open_variant("edit"), trained[0]
    assert pipe.form == own.form
    assert same(pipe.vae, own.vae)
    assert near(pipe.text_encoder, own.text_encoder, 0.01) and near(pipe.vision, own.vision, 0.01)
    assert near(pipe.transformer, own.transformer, 0.04)


def test_four_bits_take_less_than_a_third_and_are_as_near_as_four_bits_can_be(trained, kept):
    small = variants.keep(trained[1], "small", variants.VARIANTS, "Q4_0")
    assert variants.names() == ["edit", "small"]
    own, plain = trained[0], POCKET / variants.WEIGHTS
    assert (small / "transformer.gguf").stat().st_size < 0.32 * plain.stat().st_size
    assert near(variants.open_variant("small").transformer, own.transformer, 0.12)


def test_a_folder_that_is_no_model_is_refused_in_one_line_and_leaves_nothing(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(variants, "VARIANTS", tmp_path / "kept")
    with pytest.raises(SystemExit) as stop:
        variants.main(["keep", "other", str(tmp_path / "nowhere")])
    error = capsys.readouterr().err
    assert stop.value.code == 1 and "nowhere" in error and error.count("\n") == 1
    assert not (tmp_path / "kept").exists()


def test_rows_have_scales_of_their_own_and_nothing_else_is_rounded():
    weight = torch.tensor([[1.0], [0.01]]) * torch.linspace(-1, 1, 9).view(1, 9)
    whole = {"a.weight": weight, "a.bias": torch.tensor([0.3, -7.0]), "kernel": torch.ones(3, 1, 1),
             "zero": torch.zeros(2, 8)}  # fmt: skip
    packed = variants.to_rows(whole)
    assert packed["a.weight"].dtype == packed["zero"].dtype == torch.int8
    assert packed["kernel"] is whole["kernel"] and packed["a.bias"] is whole["a.bias"]
    again = variants.from_rows(packed)
    assert again.keys() == whole.keys()
    largest = weight.abs().amax(1, keepdim=True)
    assert ((again["a.weight"] - weight).abs() <= largest * (0.5 / 127 + 2**-8)).all()
    assert not again["zero"].any()


def test_a_written_variant_is_an_official_folder_whose_numbers_are_those_of_the_kept(
    kept, tmp_path
):
    folder = variants.assemble("edit", tmp_path / "edit")
    assert not (folder / "transformer.safetensors").exists()
    assert same(
        QwenImage.from_pretrained(folder).transformer, variants.open_variant("edit").transformer
    )


def test_a_variant_that_is_kept_again_takes_the_place_of_the_first(trained, kept):
    (kept / "of the first").touch()
    assert variants.keep(trained[1], "edit", variants.VARIANTS) == kept
    assert not (kept / "of the first").exists()


def test_an_unknown_variant_and_a_folder_that_is_there_are_refused(kept, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"no pocket variant 'edid'; it must be one of \['edit'\]"
    ):
        variants.open_variant("edid")
    with pytest.raises(CheckpointError, match="must not exist yet; choose another folder"):
        variants.assemble("edit", tmp_path)
    shutil.rmtree(kept)
    with pytest.raises(CheckpointError, match="run it in a clone"):
        variants.open_variant("edit")


def test_the_command_writes_and_keeps(trained, kept, tmp_path, capsys):
    assert variants.main(["write", "edit", str(tmp_path / "edit")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "edit")
    with pytest.raises(SystemExit) as stop:
        variants.main(["write", "other", str(tmp_path / "other")])
    assert stop.value.code == 1 and "no pocket variant" in capsys.readouterr().err
