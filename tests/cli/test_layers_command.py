"""`qwenimage layers`: what it writes, and one line for what does not go together."""

import re

import numpy as np
import pytest
from helpers.editing import EDIT, POCKET, edit_folder, picture
from helpers.layering import layered_folder, transparent
from PIL import Image
from psd_tools import PSDImage

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.tasks.captions import caption
from qwenimage_ref.tasks.layers import decompose, encoded_copy, extract

QUICK = ("--steps", "2", "--cfg", "1")
OPTIONS = {"num_inference_steps": 2, "true_cfg_scale": 1.0, "seed": 0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("weights")
    return {
        "layered": layered_folder(top / "layered"),
        "edit": edit_folder(top / "edit", EDIT),
        "text": POCKET,
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    transparent(70, 50).save(folder / "clear.png")
    picture(70, 50).save(folder / "opaque.png")
    (folder / "text.png").write_text("no picture")
    return folder


def run(folder, file, to, capsys, *words):
    """-> status, what was printed, what was said on stderr"""
    command = ["layers", str(file), "--weights", str(folder), "--to", str(to), *QUICK, *words]
    status = cli.main(command)
    return status, *capsys.readouterr()


def as_arrays(pictures):
    return [np.asarray(picture) for picture in pictures]


def test_layers_are_written_one_by_one_and_together(folders, files, tmp_path, capsys):
    words = ("--layers", "2", "--prompt", "a red circle", "--no-cfg-normalize")
    status, shown, _ = run(
        folders["layered"], files / "clear.png", tmp_path / "new", capsys, *words
    )
    assert status == 0 and "128x96" in shown and "layers.psd" in shown
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["layer_1.png", "layer_2.png", "layers.psd"]
    pipe = QwenImage.from_pretrained(folders["layered"])
    img = Image.open(files / "clear.png")
    expected = as_arrays(decompose(pipe, img, "a red circle", layers=2, **OPTIONS))
    written = [Image.open(tmp_path / "new" / name) for name in names[:2]]
    assert all(map(np.array_equal, as_arrays(written), expected))
    document = PSDImage.open(tmp_path / "new" / "layers.psd")
    assert all(map(np.array_equal, as_arrays(layer.topil() for layer in document), expected))


def test_guidance_keeps_lengths_unless_it_is_turned_off(folders, files, tmp_path, capsys):
    """As the model card has it; the function has the default of diffusers."""
    pipe, img = QwenImage.from_pretrained(folders["layered"]), Image.open(files / "clear.png")
    words = ("--layers", "1", "--prompt", "a", "--cfg", "4")
    run(folders["layered"], files / "clear.png", tmp_path / "new", capsys, *words)
    options = OPTIONS | {"true_cfg_scale": 4.0, "layers": 1, "cfg_normalize": True}
    (expected,) = as_arrays(decompose(pipe, img, "a", **options))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "layer_1.png")), expected)


def test_without_a_prompt_the_caption_is_said(folders, files, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("qwenimage_ref.tasks.captions.MOST_TOKENS", 6)
    words = ("--layers", "1", "--caption", "zh")
    status, _, said = run(folders["layered"], files / "clear.png", tmp_path / "new", capsys, *words)
    pipe, img = QwenImage.from_pretrained(folders["layered"]), Image.open(files / "clear.png")
    expected = caption(pipe, encoded_copy(pipe, img, None))
    assert status == 0
    assert " ".join(f"the picture is described as: {expected}".split()) in said


def test_a_picture_without_transparency_is_taken_as_opaque_and_that_is_said(
    folders, files, tmp_path, capsys
):
    for name, noted in (("opaque", True), ("clear", False)):
        words = ("--layers", "1", "--prompt", "a")
        to = tmp_path / name
        _, _, said = run(folders["layered"], files / f"{name}.png", to, capsys, *words)
        assert ("has no transparency; it is taken as opaque" in said) == noted


def test_one_layer_is_extracted_by_words_and_a_mask(folders, files, tmp_path, capsys):
    mask = files / "clear.png"
    words = ("--extract", "the star", "--mask", str(mask))
    status, shown, _ = run(
        folders["layered"], files / "opaque.png", tmp_path / "new", capsys, *words
    )
    assert status == 0 and "layer.png" in shown
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["layer.png"]
    pipe = QwenImage.from_pretrained(folders["layered"])
    img, mask = (Image.open(files / name) for name in ("opaque.png", "clear.png"))
    expected = extract(pipe, img, "the star", mask, **OPTIONS)
    written = Image.open(tmp_path / "new" / "layer.png")
    assert np.array_equal(np.asarray(written), np.asarray(expected))


@pytest.mark.parametrize(
    "weights, words, line",
    [
        ("text", (), "must be of Qwen-Image-Layered .*, it is a text-to-image model"),
        ("edit", (), "must be of Qwen-Image-Layered .*, it is an edit model"),
        ("layered", ("--layers", "0"), "layers must be a whole number from 1 to 64, got 0"),
        ("layered", ("--layers", "65"), "layers must be a whole number from 1 to 64, got 65"),
        ("layered", ("--resolution", "7"), r"resolution must be one of \[96, 640, 1024\], got 7"),
        ("layered", ("--mask", "@clear"), "--mask must go with --extract TEXT"),
        ("layered", ("--extract", "a", "--layers", "2"), "--layers must be left out with --extr"),
        ("layered", ("--extract", "a", "--prompt", "b"), "--prompt must be left out with --extr"),
        ("layered", ("--extract", " "), "prompt must name a layer"),
        ("layered", ("--extract", "a", "--mask", "@opaque"), "mask must be opaque where the layer"),
        ("layered", ("--steps", "0"), "--steps must be at least 1, got 0"),
        ("layered", ("--cfg", "nan"), "--cfg must be a finite number"),
        ("layered", ("--to", "@"), "--to must be a new or empty folder"),
        ("layered", ("--to", "@clear"), "--to must be a folder that can be written to"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    folders, files, tmp_path, capsys, weights, words, line
):
    for word in words:
        if word.startswith("@"):
            file = files / f"{word[1:]}.png" if word != "@" else files
            words = tuple(str(file) if each == word else each for each in words)
    if "--prompt" not in words and "--extract" not in words:
        words = ("--prompt", "a", *words)
    status, _, said = run(folders[weights], files / "clear.png", tmp_path / "new", capsys, *words)
    assert status == 2 and said.count("\n") == 1
    assert re.search(line, said), said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "name, line", [("none", "PICTURE must be a file that exists"), ("text", "cannot be used as")]
)
def test_a_file_that_is_no_picture_is_one_line(folders, files, tmp_path, capsys, name, line):
    file = files / f"{name}.png"
    status, _, said = run(folders["layered"], file, tmp_path / "new", capsys, "--prompt", "a")
    assert status == 2 and line in said and said.count("\n") == 1
