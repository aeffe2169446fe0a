"""Further columns of a table: what DiffSynth-Studio's names mean, and how the rest is refused."""

import csv
import json

import pytest
from PIL import Image

from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.columns import CONTROL, CONTROL_MASK, Columns
from qwenimage_ref.train.dataset import read_folder

ROW = {"image": "a.png", "prompt": "make it green"}
REGION = {"eligen_entity_prompts": ["a star"], "eligen_entity_masks": ["b.png"]}


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c"):
        Image.new("RGB", (64, 32)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (32, 64)).save(tmp_path / "tall.png")
    return tmp_path


def written(folder, *rows, name="metadata.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def columns(folder, **row) -> Columns:
    ((example,), _) = read_folder(written(folder, ROW | row))
    return example.columns


def refused(folder, **row) -> str:
    with pytest.raises(DataError) as error:
        read_folder(written(folder, ROW | row))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_row_without_further_columns_has_none(folder):
    assert columns(folder) == Columns() and Columns().names == []


@pytest.mark.parametrize("value", ["b.png", ["b.png"], '["b.png"]'])
def test_the_pictures_of_an_edit_are_a_name_or_a_list_of_names(folder, value):
    assert columns(folder, edit_image=value).edit_image == (folder / "b.png",)


def test_several_pictures_of_an_edit_keep_their_order(folder):
    assert columns(folder, edit_image=["c.png", "a.png"]).edit_image == (
        folder / "c.png", folder / "a.png"
    )  # fmt: skip


def test_a_list_stands_in_a_csv_table_as_json(folder):
    with (folder / "metadata.csv").open("w", newline="") as file:
        rows = [["image", "prompt", "edit_image"], ["a.png", "red", '["b.png", "c.png"]']]
        csv.writer(file).writerows(rows)
    ((example,), _) = read_folder(folder)
    assert [path.name for path in example.columns.edit_image] == ["b.png", "c.png"]


def test_a_table_may_be_one_list_of_json(folder):
    (folder / "metadata.json").write_text(json.dumps([ROW | {"edit_image": ["b.png"]}]))
    ((example,), _) = read_folder(folder)
    assert example.caption == ROW["prompt"] and example.columns.edit_image


def test_a_json_table_that_is_no_list_is_one_line(folder):
    (folder / "metadata.json").write_text("{}")
    with pytest.raises(DataError, match="metadata.json cannot be read .it must hold a list of"):
        read_folder(folder)


def test_the_pictures_of_an_edit_may_have_any_size(folder):
    assert columns(folder, edit_image="tall.png").edit_image


def test_layers_are_a_list_of_pictures_of_which_the_first_is_the_whole(folder):
    row = {"image": ["a.png", "b.png"], "layer_input_image": "c.png", "layer_num": 1}
    ((example,), _) = read_folder(written(folder, ROW | row))
    assert example.picture == folder / "a.png"
    assert example.columns.layers == (folder / "a.png", folder / "b.png")


def test_regions_are_prompts_and_masks(folder):
    read = columns(folder, **REGION)
    assert read.eligen_entity_prompts == ("a star",)
    assert read.eligen_entity_masks == (folder / "b.png",)


LAYERS = {"image": ["a.png", "b.png"], "layer_input_image": "c.png"}


@pytest.mark.parametrize(
    "row, words",
    [
        ({"edit_image": "none.png"}, "a.png names none.png, which is not there"),
        ({"edit_image": ["b.png", 3]}, "has the edit_image 3, which is no name of a file"),
        ({"edit_image": "../x.png"}, "has the edit_image ../x.png, which names a picture outside"),
        ({"context_image": "tall.png"}, "is 64x32 pixels and tall.png, which belongs to it, 32x64"),
        (REGION | {"eligen_entity_masks": []}, "has 1 eligen_entity_prompts and 0 eligen_entity_m"),
        (REGION | {"eligen_entity_prompts": [" "]}, "has the eligen_entity_prompts  , which is no"),
        (REGION | {"eligen_entity_masks": ["tall.png"]}, "belongs to it, 32x64; crop it alike"),
        ({"layer_input_image": "b.png"}, "must have both a list of pictures and a layer_input_im"),
        (LAYERS | {"layer_input_image": ""}, "must have both a list of pictures and a layer_inp"),
        (LAYERS | {"layer_num": 2}, "has the layer_num 2 and 1 pictures of layers behind the"),
        ({CONTROL_MASK: "b.png"}, f"has a {CONTROL_MASK} and no {CONTROL}"),
    ],
)
def test_a_column_that_cannot_be_used_is_one_line(folder, row, words):
    message = refused(folder, **row)
    assert words in message and "1 of 1 examples cannot be used" in message
