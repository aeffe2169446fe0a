"""`qwenimage train` on edit pairs, regions and control pictures, as the user meets it."""

import json

import pytest
import torch
from helpers.editing import EDIT_PLUS, edit_folder, picture
from PIL import Image
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.adapt.control_files import load
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train.columns import CONTROL, CONTROL_MASK

ROW = {"image": "target.png", "prompt": "make it green"}
REGION = {"eligen_entity_prompts": ["a star"], "eligen_entity_masks": ["mask.png"]}
GREY = REGION | {"eligen_entity_masks": ["grey.png"]}


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for n, name in enumerate(("target", "edges")):
        picture(64, 64, n).save(folder / f"{name}.png")
    picture(48, 80, 3).save(folder / "source.png")
    Image.new("L", (64, 64), 255).save(folder / "mask.png")
    Image.new("L", (64, 64), 99).save(folder / "grey.png")
    return folder


def table(data, *rows):
    text = "".join(json.dumps(ROW | row) + "\n" for row in rows)
    (data / "metadata.jsonl").write_text(text)


def train(mode, data, *more):
    words = ["train", mode, "--data", data, "--to", data.parent / "new.safetensors", "--steps", 2]
    words += ["--runs", data.parent / "runs", *more]
    if mode == "lora":
        words += ["--rank", 2, "--targets", "diffusers"]
    return cli.main([str(word) for word in words])


def refused(capsys) -> str:
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if line.startswith("qwenimage:")]
    return line


def test_edit_pairs_train_a_lora_that_paint_takes_and_two_stages_give_its_bits(data, tmp_path):
    weights = edit_folder(tmp_path / "edit", EDIT_PLUS, zero_cond_t=True)
    table(data, {"edit_image": ["source.png", "edges.png"]})
    assert train("lora", data, "--weights", weights) == 0
    adapter = tmp_path / "new.safetensors"
    one = load_file(adapter)
    words = ["paint", "make it green", "--image", data / "source.png", "--weights", weights]
    words += ["--lora", adapter, "--steps", 2, "--cfg", 1, "-o", tmp_path / "out.png"]
    assert cli.main([str(word) for word in words]) == 0
    words = ["train", "prepare", "--data", data, "--to", tmp_path / "ready", "--weights", weights]
    assert cli.main([str(word) for word in words]) == 0
    words = ["train", "lora", "--prepared", tmp_path / "ready", "--weights", weights, "--rank", 2]
    words += ["--targets", "diffusers", "--steps", 2, "--runs", tmp_path / "second"]
    assert cli.main([str(word) for word in [*words, "--to", tmp_path / "two.safetensors"]]) == 0
    two = load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def test_control_pictures_with_masks_train_a_network_for_inpainting(data, tmp_path):
    table(data, {CONTROL: "edges.png", CONTROL_MASK: "mask.png"})
    assert train("control", data) == 0
    mmdit = QwenImage.from_pretrained(POCKET).transformer
    net, zero = (
        load(tmp_path / "new.safetensors", mmdit),
        load(tmp_path / "runs" / "zero.safetensors", mmdit),
    )
    assert net.config.extra_condition_channels == 4 and net.img_in.weight.any()
    assert not any(block.output_proj.weight.any() for block in zero.controlnet_blocks)


def test_a_network_goes_on_from_another_one(data, tmp_path):
    table(data, {CONTROL: "edges.png"})
    assert train("control", data) == 0
    first = load_file(tmp_path / "new.safetensors")
    more = ("--from", tmp_path / "new.safetensors", "--runs", tmp_path / "b", "--lr", 1e-9)
    assert train("control", data, *more) == 0
    second = load_file(tmp_path / "new.safetensors")
    assert all(torch.allclose(first[key], second[key], atol=1e-6) for key in first)


@pytest.mark.parametrize(
    "mode, row, options, words",
    [
        ("control", {}, (), f"must have a {CONTROL}, got none; add it to the table"),
        ("control", {CONTROL: "source.png"}, (), "source.png, which belongs to it, 48x80; crop it"),
        ("control", {CONTROL: "edges.png"}, ("--from", "mask.png"), "mask.png"),
        ("lora", REGION, ("--dropout", 0.1), "dropout must be 0 for examples with regions, got 0."),
        (
            "lora",
            {"edit_image": "source.png"},
            (),
            "png: an example must be without edit_image for",
        ),
        (
            "lora",
            GREY,
            (),
            'target.png: the mask of "a star" must be black and white, got 4,096 grey',
        ),
    ],
)
def test_a_column_that_cannot_be_used_is_one_line(data, capsys, mode, row, options, words):
    table(data, row)
    assert train(mode, data, *options) == 2
    assert words in refused(capsys)
    assert not (data.parent / "runs" / "state.safetensors").exists()


def test_masks_beside_some_control_pictures_are_one_line(data, capsys):
    table(data, {CONTROL: "edges.png", CONTROL_MASK: "mask.png"}, {CONTROL: "edges.png"})
    assert train("control", data) == 2
    assert "masks must stand beside all control pictures, or beside none" in refused(capsys)


@pytest.mark.parametrize(
    "mode, row, options, words",
    [
        ("lora", {"edit_image": "source.png"}, ("--sample", "red"), "--sample must go with a text"),
        ("dpo", {"winner": "edges.png", "loser": "target.png"}, (), "to be trained on comparisons"),
    ],
)
def test_what_an_edit_model_cannot_do_in_training_is_one_line(
    data, tmp_path, capsys, mode, row, options, words
):
    table(data, row)
    options += ("--weights", edit_folder(tmp_path / "edit", EDIT_PLUS))
    assert train(mode, data, *options) == 2
    assert words in refused(capsys)
