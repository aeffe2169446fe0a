"""`qwenimage layers --again`: layers say how they were painted, and are so again, to the bit."""

import itertools
import shutil

import pytest
from helpers.layering import layered_folder, transparent
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.png_settings import read_settings
from qwenimage_ref.repository import DATA
from qwenimage_ref.tasks import captions

LORA = DATA / "lora" / "lightning_4_steps.safetensors"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return layered_folder(tmp_path_factory.mktemp("weights") / "layered")


@pytest.fixture
def files(tmp_path):
    """A picture, which is a mask at once, in a folder of its own"""
    (tmp_path / "in").mkdir()
    transparent(70, 50).save(tmp_path / "in" / "clear.png")
    return tmp_path


def layers(capsys, *words) -> tuple[int, str]:
    status = cli.main(["layers", *map(str, words)])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, "\n".join(x for x in lines if x and not x.startswith("painting:"))


def first_layers(files, weights, capsys, *words):
    """-> the folder of a picture's layers, painted with @ for the picture"""
    picture, to = files / "in" / "clear.png", files / "first"
    words = [picture if word == "@" else word for word in words]
    command = [picture, "--weights", weights, "--steps", "2", "--to", to, *words]
    assert layers(capsys, *command)[0] == 0
    return to


def contents(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "words, names",
    [
        (["--prompt", "-- a red=circle", "--layers", "2", "--cfg", "1", "--seed", "7"],
         ["layer_1.png", "layer_2.png", "layers.psd"]),
        (["--prompt", "a", "--layers", "1", "--no-cfg-normalize", "--negative=-dark"],
         ["layer_1.png", "layers.psd"]),
        (["--prompt", "a", "--layers", "1", "--cfg", "1", "--lora", f"{LORA}=0.7"],
         ["layer_1.png", "layers.psd"]),
        (["--extract", "the star", "--mask", "@"], ["layer.png"]),
    ],
    ids=["layers", "guidance", "lora", "extract"],
)  # fmt: skip
def test_layers_painted_again_are_the_same_files(files, weights, capsys, words, names):
    first = first_layers(files, weights, capsys, *words)
    assert sorted(contents(first)) == names
    for number, name in enumerate(name for name in names if name.endswith(".png")):
        to = files / f"again_{number}"
        assert layers(capsys, "--again", first / name, "--to", to)[0] == 0
        assert contents(to) == contents(first)


def test_a_description_that_was_written_is_repeated_and_not_written_anew(
    files, weights, capsys, monkeypatch
):
    monkeypatch.setattr(captions, "MOST_TOKENS", 6)
    first = first_layers(files, weights, capsys, "--layers", "1", "--cfg", "1", "--caption", "zh")
    options = read_settings(first / "layer_1.png")["options"]
    assert options["prompt"].strip() and options["picture"] == "../in/clear.png"
    monkeypatch.setattr(captions, "caption", lambda *_: pytest.fail("it was described again"))
    assert layers(capsys, "--again", first / "layer_1.png", "--to", files / "second")[0] == 0
    assert contents(files / "second") == contents(first)


def test_a_file_says_what_people_ask_about_layers(files, weights, capsys):
    words = ("--prompt", "a star", "--layers", "2", "--cfg", "1", "--seed", "3")
    options = read_settings(first_layers(files, weights, capsys, *words) / "layer_2.png")["options"]
    asked = {"prompt": "a star", "layers": 2, "cfg": 1.0, "seed": 3, "steps": 2}
    assert {name: options[name] for name in asked} == asked


@pytest.fixture
def painted(files, weights, capsys):
    """The first layer's file"""
    words = ("--prompt", "a", "--layers", "1", "--cfg", "1")
    return first_layers(files, weights, capsys, *words) / "layer_1.png"


def test_folders_may_move_together(files, painted, capsys):
    (files / "moved").mkdir()
    for name in ("in", "first"):
        shutil.move(files / name, files / "moved" / name)
    moved, to = files / "moved" / "first", files / "moved" / "second"
    # the weights are named by their place beside the files, which have gone a folder down
    settings = read_settings(moved / painted.name)
    weights = (painted.parent / settings["options"]["weights"]).resolve()
    (moved / settings["options"]["weights"]).parent.mkdir(parents=True, exist_ok=True)
    (moved / settings["options"]["weights"]).symlink_to(weights)
    assert layers(capsys, "--again", moved / painted.name, "--to", to)[0] == 0
    pictures = [Image.open(folder / painted.name).tobytes() for folder in (moved, to)]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("change, line", [("write", "has changed since"), ("remove", "is missing")])
def test_a_picture_that_is_no_longer_the_same_is_named(files, painted, capsys, change, line):
    picture = files / "in" / "clear.png"
    picture.unlink() if change == "remove" else transparent(70, 50, seed=1).save(picture)
    status, error = layers(capsys, "--again", painted, "--to", files / "second")
    assert status == 2 and "clear.png must be" in error and line in error and "\n" not in error
    assert not (files / "second").exists()


def test_each_command_names_the_other_for_its_files(files, painted, capsys):
    status = cli.main(["paint", "--again", str(painted), "-o", str(files / "x.png")])
    error = capsys.readouterr().err
    assert status == 2 and "must be a file of qwenimage paint" in error
    assert "try: qwenimage layers --again" in error and not (files / "x.png").exists()
    picture = files / "picture.png"
    words = ["--size", "64x64", "--steps", "2", "--quiet", "-o", str(picture)]
    assert cli.main(["paint", "a red circle", *words]) == 0
    capsys.readouterr()
    status, error = layers(capsys, "--again", picture, "--to", files / "second")
    assert status == 2 and "try: qwenimage paint --again" in error and "\n" not in error


def test_layers_without_settings_can_be_written(files, weights, capsys):
    words = ("--prompt", "a", "--layers", "1", "--cfg", "1", "--no-settings")
    first = first_layers(files, weights, capsys, *words) / "layer_1.png"
    status, error = layers(capsys, "--again", first, "--to", files / "second")
    assert status == 2 and "holds no settings" in error and "\n" not in error


@pytest.mark.parametrize("words", [["--seed", "1"], ["x.png"], ["--layers", "2"], ["--mask", "m"]])
def test_nothing_that_is_in_the_file_may_be_given_beside_it(files, capsys, words):
    command = ["--again", files / "in" / "clear.png", "--to", files / "second"]
    status, error = layers(capsys, *command, *words)
    assert status == 2 and "--again must stand without" in error
    assert "everything but --to is in the file" in error


def test_what_is_missing_is_one_line(files, painted, capsys):
    words = {"PICTURE": [painted], "--to": ["--to", files / "second"]}
    for count in (0, 1):
        for given in itertools.combinations(words, count):
            status, error = layers(capsys, *sum((words[name] for name in given), []))
            missing = ", ".join(name for name in words if name not in given)
            assert status == 2 and error.endswith(f"arguments are required: {missing}")
    assert layers(capsys, "--again", painted)[1].endswith("arguments are required: --to")
