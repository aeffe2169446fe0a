"""`qwenimage paint --again`: a PNG file says how it was painted, and is so again, to the bit."""

import json
import shutil

import numpy as np
import pytest
import torch
from helpers.editing import EDIT, EDIT_PLUS, edit_folder, picture
from PIL import Image, PngImagePlugin

from qwenimage_ref import cli
from qwenimage_ref.png_settings import KEYWORD, mark_of, read_settings, settings_chunk
from qwenimage_ref.repository import DATA, POCKET

PROMPT = "-- a red=circle, „ü“"
SMALL = ["--size", "64x64", "--steps", "2", "--quiet"]
LORA = DATA / "lora" / "lightning_4_steps.safetensors"
UNION, BLOCKWISE = (
    DATA / "variants" / f"control_{kind}.safetensors" for kind in ("union", "blockwise")
)


@pytest.fixture
def files(tmp_path):
    """A picture, its mask, and an empty folder beside theirs"""
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    (tmp_path / "in").mkdir()
    half.save(tmp_path / "in" / "left=@1.png")
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "in" / "navy.png")
    (tmp_path / "out").mkdir()
    return tmp_path


def paint(capsys, *words) -> tuple[int, str]:
    status = cli.main(["paint", *map(str, words)])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, "\n".join(x for x in lines if x and not x.startswith("painting:"))


def painted(files, capsys, *words, quick=SMALL):
    """A first picture's file, painted with @NAME for a file in the folder `in`"""
    words = [str(word).replace("@/", f"{files / 'in'}/") for word in words]
    first = files / "out" / "first.png"
    status, error = paint(capsys, *quick, *words, "-o", first, "--", PROMPT)
    assert status == 0, error
    return first


@pytest.mark.parametrize(
    "words",
    [
        ["--seed", "7", "--cfg", "2.5", "--negative=-dark"],
        ["--image", "@/navy.png", "--strength", "0.9", "--mask", "@/left=@1.png"],
        ["--region", "a star=@/left=@1.png", "--context", "@/navy.png"],
        ["--lora", f"{LORA}=0.7", "--lightning"],
        ["--rewrite", "--vae-tiling", "--weights", str(POCKET)],
        ["--control", f"{UNION}=@/navy.png@0.8,0,0.5"],
        ["--control", f"{BLOCKWISE}=@/left=@1.png"],
    ],
    ids=["plain", "mask", "regions", "lora", "rewritten", "union", "blockwise"],
)
def test_a_picture_painted_again_is_the_same_file(files, capsys, words):
    first = painted(files, capsys, *words)
    second = first.with_name("second.png")
    assert paint(capsys, "--again", first, "-o", second, "--quiet")[0] == 0
    assert second.read_bytes() == first.read_bytes()


@pytest.fixture(scope="module")
def edit_weights(tmp_path_factory):
    top = tmp_path_factory.mktemp("weights")
    return {name: edit_folder(top / name, name) for name in (EDIT, EDIT_PLUS)}


@pytest.mark.parametrize(
    "kind, words",
    [
        (EDIT_PLUS, ["--image", "@/spots.png", "--image", "@/navy.png", "--cfg", "1"]),
        (EDIT, ["--image", "@/navy.png", "--mask", "@/left=@1.png", "--strength", "0.9"]),
        (EDIT_PLUS, ["--image", "@/spots.png", "--lowres-fix"]),
    ],
    ids=["two pictures", "mask", "lowres fix"],
)
def test_an_edit_is_made_again_to_the_same_file(files, edit_weights, capsys, kind, words):
    picture(48, 80).save(files / "in" / "spots.png")
    # an edit inside a mask has the size of its picture, and takes no other
    words = ["--weights", edit_weights[kind], *words]
    first = painted(files, capsys, *words, quick=["--steps", "2", "--quiet"])
    second = first.with_name("second.png")
    assert paint(capsys, "--again", first, "-o", second, "--quiet")[0] == 0
    assert second.read_bytes() == first.read_bytes()


def test_what_is_repeated_is_the_control_and_the_order_of_the_pictures(files, edit_weights, capsys):
    """A file whose settings are changed by hand gives another picture, so none of them is idle."""
    picture(48, 80).save(files / "in" / "spots.png")
    first = painted(files, capsys, "--control", f"{UNION}=@/spots.png@0.8,0,0.5")
    assert differs(first, capsys, lambda options: options["control"][0].update(scale=0.0))
    assert differs(first, capsys, lambda options: options["control"][0].update(end=1.0))
    images = ["--image", "@/spots.png", "--image", "@/navy.png"]
    first = painted(files, capsys, "--weights", edit_weights[EDIT_PLUS], *images)
    assert differs(first, capsys, lambda options: options["image"].reverse())


def differs(first, capsys, change) -> bool:
    """Is the picture another one when the options in its file are changed?"""
    settings = read_settings(first)
    change(settings["options"])
    other, second = first.with_name("other.png"), first.with_name("second.png")
    Image.open(first).save(other, pnginfo=settings_chunk(settings))
    assert paint(capsys, "--again", other, "-o", second, "--quiet")[0] == 0
    return Image.open(second).tobytes() != Image.open(first).tobytes()


def test_steps_that_the_weights_recommend_come_to_the_same_file(files, capsys):
    first, second = files / "out" / "first.png", files / "out" / "second.png"
    words = ["--size", "64x64", "--lightning", "--quiet", "--cfg", "2"]
    assert paint(capsys, *words, "-o", first, "--", PROMPT)[0] == 0
    assert paint(capsys, "--again", first, "-o", second, "--quiet")[0] == 0
    assert second.read_bytes() == first.read_bytes()


def test_folders_may_move_together(files, capsys):
    first = painted(files, capsys, "--image", "@/navy.png")
    moved = files / "moved"
    moved.mkdir()
    for name in ("in", "out"):
        shutil.move(files / name, moved / name)
    first, again = moved / "out" / "first.png", moved / "again.png"
    assert paint(capsys, "--again", first, "-o", again, "--quiet")[0] == 0
    assert np.array_equal(*(np.asarray(Image.open(file)) for file in (first, again)))


@pytest.mark.parametrize("change, line", [("write", "has changed since"), ("remove", "is missing")])
def test_a_picture_that_is_no_longer_the_same_is_named(files, capsys, change, line):
    first, picture = painted(files, capsys, "--image", "@/navy.png"), files / "in" / "navy.png"
    picture.unlink() if change == "remove" else Image.new("RGB", (64, 64), "red").save(picture)
    status, error = paint(capsys, "--again", first, "-o", files / "second.png")
    assert status == 2 and "navy.png must be" in error and line in error and "\n" not in error
    assert not (files / "second.png").exists()


def test_other_weights_are_not_painted_with(files, capsys):
    weights = shutil.copytree(POCKET, files / "weights")
    first = painted(files, capsys, "--weights", weights)
    (weights / "recommended.json").write_text("{}")
    status, error = paint(capsys, "--again", first, "-o", files / "second.png")
    assert status == 2 and "must hold the weights of the first painting" in error


def test_a_picture_without_settings_can_be_written(files, capsys):
    first = painted(files, capsys, "--no-settings")
    status, error = paint(capsys, "--again", first)
    assert status == 2 and "holds no settings" in error and "\n" not in error


@pytest.mark.parametrize("words", [["--seed", "1"], ["a star"], ["--image", "x.png"]])
def test_nothing_that_is_in_the_file_may_be_given_beside_it(files, capsys, words):
    status, error = paint(capsys, "--again", files / "in" / "navy.png", *words)
    assert status == 2 and "--again must stand without" in error


WHOLE = {
    "version": 1, "torch": torch.__version__, "threads": 1, "device": "cpu",
    "options": {"prompt": "x"}, "weights_sha256": "", "files_sha256": {},
}  # fmt: skip


@pytest.mark.parametrize(
    "settings, line",
    [
        ({"version": 2}, "must be of version 1"),
        ({"options": None}, "are damaged"),
        ({"options": {}}, "are damaged"),
        ({"options": {"prompt": "x", "lora": [3]}}, "are damaged"),
        ({"options": {"prompt": "x", "output": "y.png"}}, "they name an output"),
        ({"options": {"prompt": "x", "out": "y.png"}}, "unrecognized arguments"),
        ({"options": {"prompt": "x", "seed": "many"}}, "invalid int value"),
        ({"options": {"prompt": "x", "image": "ab"}}, "must hold the weights"),
        ({"files_sha256": {"navy.png": "0"}}, "has changed since"),
        ({"threads": "many"}, "are damaged"),
        ({}, "must hold the weights of the first painting"),
    ],
)
def test_settings_that_cannot_be_followed_are_one_line(files, capsys, settings, line):
    file = files / "in" / "odd.png"
    Image.new("RGB", (8, 8)).save(file, pnginfo=settings_chunk(WHOLE | settings))
    status, error = paint(capsys, "--again", file, "-o", files / "second.png")
    assert status == 2 and line in error and "\n" not in error
    assert not (files / "second.png").exists() and not (files / "in" / "y.png").exists()


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no picture"])
def test_a_file_that_is_no_png_is_one_line(files, capsys, content):
    (files / "odd.png").write_bytes(content)
    status, error = paint(capsys, "--again", files / "odd.png")
    assert status == 2 and "cannot be read for its settings" in error and "\n" not in error


def test_settings_that_are_no_json_are_one_line(files, capsys):
    chunk = PngImagePlugin.PngInfo()
    chunk.add_itxt(KEYWORD, json.dumps(WHOLE)[:-1])
    Image.new("RGB", (8, 8)).save(files / "odd.png", pnginfo=chunk)
    assert "cannot be read for its settings" in paint(capsys, "--again", files / "odd.png")[1]


def test_a_file_says_what_people_ask_about_a_picture(files, capsys):
    options = read_settings(painted(files, capsys, "--seed", "3"))["options"]
    assert options == {"prompt": PROMPT, "seed": 3, "steps": 2, "size": "64x64"}


def test_a_byte_in_the_middle_of_a_large_file_changes_its_mark(tmp_path):
    file = tmp_path / "large"
    with file.open("wb") as opened:
        opened.truncate((65 << 20) + 3)
    before = mark_of(file)
    with file.open("r+b") as opened:
        opened.seek(33 << 20)
        opened.write(b"x" * (1 << 20))
    assert mark_of(file) != before


def test_a_device_that_is_not_there_is_one_line(files, capsys):
    status, error = paint(capsys, "x", "--device", "cuda:77")
    assert status == 2 and "--device must be cpu, cuda or cuda:N of this machine" in error
