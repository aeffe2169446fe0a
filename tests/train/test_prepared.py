"""Two stages: what is prepared is what training needs, to the bit, or is refused."""

import dataclasses
import json

import pytest
import torch
from helpers.few_examples import EMPTY, examples, taught
from helpers.nets import model
from helpers.resumed import assert_same_state

from qwenimage_ref.train import lora, prepared
from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.distill import FewSteps
from qwenimage_ref.train.distill import train as distil
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.run_folder import RunError, RunFolder

RECIPE = Recipe(steps=3, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)


def written(folder, content=None):
    prepared.write(RunFolder(folder), content or examples(), EMPTY, "an origin")
    return folder


def trained(folder, pictures, empty, origin):
    settings = lora.Settings(rank=2, targets="musubi", dropout=0.3)
    lora.train(model(), pictures, empty, RECIPE, settings, folder, origin, quiet=True)


def test_two_stages_end_with_the_bits_of_one(tmp_path):
    trained(tmp_path / "one", examples(), EMPTY, "an origin")
    trained(tmp_path / "two", *prepared.read(written(tmp_path / "prepared"), "pictures"))
    assert_same_state(tmp_path / "two", tmp_path / "one")


def test_a_distillation_in_two_stages_ends_with_the_bits_of_one(tmp_path):
    first, *others = taught()
    # careful: a seed may be larger than a tensor's whole numbers
    content = [dataclasses.replace(first, seed=2**64 - 1), *others]
    read, _, origin = prepared.read(written(tmp_path / "prepared", content), "taught")
    for name, pictures in (("one", content), ("two", read)):
        distil(
            model(), pictures, RECIPE, FewSteps(steps=1), tmp_path / name, lora.Adapter(rank=2),
            origin, quiet=True,
        )  # fmt: skip
    assert_same_state(tmp_path / "two", tmp_path / "one")


def test_a_folder_whose_preparing_was_killed_is_refused(tmp_path):
    written(tmp_path)
    (tmp_path / "prepared.json").unlink()
    with pytest.raises(DataError, match="must hold prepared.json") as refused:
        prepared.read(tmp_path, "pictures")
    assert "\n" not in str(refused.value)


def test_a_folder_prepared_for_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match="prepared for taught, got pictures"):
        prepared.read(written(tmp_path), "taught")


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"version": 2}'])
def test_a_damaged_index_is_one_line(tmp_path, content):
    written(tmp_path)
    (tmp_path / "prepared.json").write_text(content)
    with pytest.raises(DataError, match="cannot be read") as refused:
        prepared.read(tmp_path, "pictures")
    assert "\n" not in str(refused.value)


def test_an_index_that_does_not_fit_its_files_is_one_line(tmp_path):
    index = json.loads((written(tmp_path) / "prepared.json").read_text())
    index["examples"][0] = {"seed": 1}
    (tmp_path / "prepared.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="does not fit its files"):
        prepared.read(tmp_path, "pictures")


def test_a_damaged_example_is_named(tmp_path):
    file = written(tmp_path) / "000002.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RunError, match="000002.safetensors is damaged.*prepare the folder anew"):
        prepared.read(tmp_path, "pictures")


def test_what_was_kept_while_encoding_is_removed_when_all_is_prepared(tmp_path):
    (tmp_path / "encoded").mkdir()
    written(tmp_path)
    assert not (tmp_path / "encoded").exists()
    assert torch.equal(prepared.read(tmp_path, "pictures")[1], EMPTY)
