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


def same(a, b):
    states = a.state_dict(), b.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0] | states[1])


def test_what_the_painter_has_is_not_kept_again(kept):
    files = {str(file.relative_to(kept)) for file in kept.rglob("*")}
    assert {"transformer.safetensors", "text_encoder/model.safetensors"} <= files
    shared = {"vae/diffusion_pytorch_model.safetensors", "tokenizer/vocab.json"}
    assert not (shared | {str(variants.WEIGHTS)}) & files
    packed, plain = kept / "transformer.safetensors", POCKET / variants.WEIGHTS
    assert packed.stat().st_size < 0.56 * plain.stat().st_size


def test_an_opened_variant_is_the_trained_one_and_its_transformer_is_near(trained, kept):
    pipe, own = variants.open_variant("edit"), trained[0]
    assert pipe.form == own.form
    assert same(pipe.vae, own.vae)
    assert same(pipe.text_encoder, own.text_encoder) and same(pipe.vision, own.vision)
    near = dict(pipe.transformer.named_parameters())
    for name, parameter in own.transformer.named_parameters():
        assert (near[name] - parameter).norm() <= 0.04 * parameter.norm(), name


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
