"""`qwenimage layers`: what it writes, and one line for what does not go together."""

import json
import re

import numpy as np
import pytest
from helpers.editing import EDIT, POCKET, edit_folder, picture
from helpers.layering import layered_folder, transparent
from PIL import Image
from psd_tools import PSDImage

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.checkpoint.model_folder import read_model_index
from qwenimage_ref.pocket.variants import VARIANTS
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


def test_a_note_on_the_picture_does_not_stand_before_an_error(folders, files, tmp_path, capsys):
    """An opaque picture has a note; an opaque mask and the wrong transformer are errors."""
    other = POCKET / "transformer" / "diffusion_pytorch_model.safetensors"
    for words, line in (
        (("--extract", "a", "--mask", str(files / "opaque.png")), "mask must be opaque where the"),
        (("--prompt", "a", "--transformer", str(other)), "addition_t_embedding"),
        (("--prompt", "a", "--resolution", "7"), "resolution must be one of"),
    ):
        to = tmp_path / "new"
        status, _, said = run(folders["layered"], files / "opaque.png", to, capsys, *words)
        assert status == 2 and said.count("\n") == 1 and line in said, said


def test_proportions_that_change_are_noted(folders, files, tmp_path, capsys):
    picture(176, 96).save(tmp_path / "wide.png")
    words = ("--layers", "1", "--prompt", "a")
    for file, noted in ((tmp_path / "wide.png", True), (files / "opaque.png", False)):
        to = tmp_path / file.stem
        _, _, said = run(folders["layered"], file, to, capsys, *words)
        assert ("a picture of 176x96 is stretched by 8% to 128x64" in said) == noted, said


@pytest.fixture(scope="module")
def blind(folders, tmp_path_factory):
    """The layered folder, whose settings say that its vision tower has learned nothing"""
    folder = tmp_path_factory.mktemp("blind")
    for path in folders["layered"].iterdir():
        if path.name != "recommended.json":
            (folder / path.name).symlink_to(path)
    settings = json.loads((folders["layered"] / "recommended.json").read_text("utf-8"))
    (folder / "recommended.json").write_text(json.dumps(settings | {"reads_pictures": False}))
    return folder


def test_weights_that_cannot_read_pictures_need_a_prompt(blind, files, tmp_path, capsys):
    for words in ((), ("--prompt", " ")):
        status, _, said = run(blind, files / "opaque.png", tmp_path / "new", capsys, *words)
        assert status == 2 and said.count("\n") == 1 and not (tmp_path / "new").exists()
        assert "--prompt must be given to these weights, which cannot read pictures" in said
    words = ("--layers", "1", "--prompt", "a")
    assert run(blind, files / "clear.png", tmp_path / "new", capsys, *words)[0] == 0
    pipe = QwenImage.from_pretrained(blind)
    with pytest.raises(ValueError, match="^prompt must be given to these weights"):
        decompose(pipe, transparent(9, 9), " ", layers=1, **OPTIONS)


def test_info_says_where_a_prompt_is_needed(folders, blind, capsys):
    for folder, words in (
        (folders["layered"], "PICTURE --w"),
        (blind, "PICTURE --prompt TEXT --w"),
    ):
        assert cli.main(["info", str(folder)]) == 0
        assert f"used with: qwenimage layers {words}" in capsys.readouterr().out


def test_the_layered_variant_says_that_it_cannot_read_pictures():
    assert read_model_index(VARIANTS / "layered")["reads_pictures"] is False
    assert "reads_pictures" not in read_model_index(VARIANTS / "edit")


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
