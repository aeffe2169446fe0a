"""`qwenimage paint --image`: pictures painted over, and one line for what cannot be."""

import numpy as np
import pytest
from helpers.painting_over import POCKET, POSTER, WIDE, WIDE_MASK, WISH, mask_of
from PIL import Image

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.cli import loading

MASK = mask_of((70, 30, 120, 100))
QUICK = ["--steps", "2"]


@pytest.fixture
def files(tmp_path):
    """Names of pictures and masks, each a file."""
    pictures = {
        "poster": POSTER, "mask": MASK, "wide": WIDE, "wide_mask": WIDE_MASK,
        "small_mask": MASK.resize((64, 64)), "black": Image.new("L", POSTER.size),
        "strip": Image.new("RGB", (10_000, 1)), "text": None,
    }  # fmt: skip
    for name, picture in pictures.items():
        if picture is None:
            (tmp_path / f"{name}.png").write_text("no picture")
        else:
            picture.save(tmp_path / f"{name}.png")
    return tmp_path


def paint(files, capsys, *arguments):
    """Exit status, what stands on stderr without progress bars, and the picture's file."""
    out = files / "out.png"
    words = [files / f"{a[1:]}.png" if str(a).startswith("@") else a for a in arguments]
    status = cli.main(["paint", WISH, *map(str, words), "-o", str(out)])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, "\n".join(x for x in lines if x and not x.startswith("painting:")), out


@pytest.mark.parametrize(
    "words, options",
    [
        ([], {}),
        (["--strength", "0.9"], {"strength": 0.9}),
        (["--mask", "@mask"], {"mask_image": MASK}),
        (
            ["--mask", "@mask", "--padding-mask-crop", "4"],
            {"mask_image": MASK, "padding_mask_crop": 4},
        ),
        (
            ["--mask", "@mask", "--inpaint-blur-size", "1", "--inpaint-blur-sigma", "0.7"],
            {"mask_image": MASK, "inpaint_blur_size": 1, "inpaint_blur_sigma": 0.7},
        ),
    ],
    ids=["image", "strength", "mask", "crop", "blur"],
)
def test_the_command_paints_what_the_pipeline_paints(files, capsys, words, options):
    status, error, out = paint(files, capsys, "--image", "@poster", *words, *QUICK)
    expected = QwenImage.from_pretrained(POCKET)(
        WISH, " ", image=POSTER, num_inference_steps=2, seed=0, **options
    )[0]
    assert (status, error) == (0, "")
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected))


def test_without_a_size_the_picture_s_proportions_are_kept(files, capsys):
    wide = POSTER.resize((256, 64))
    wide.save(files / "wide.png")
    status, _, out = paint(files, capsys, "--image", "@wide", *QUICK)
    assert status == 0 and Image.open(out).size == (256, 64)


def test_a_size_of_whole_tokens_is_painted_as_it_is(files, capsys):
    POSTER.resize((176, 96)).save(files / "tokens.png")
    for option in ("--image", "--context"):
        status, error, out = paint(files, capsys, option, "@tokens", *QUICK)
        assert (status, error) == (0, "") and Image.open(out).size == (176, 96)


def test_proportions_that_change_are_noted_in_one_line(files, capsys):
    POSTER.resize((230, 70)).save(files / "odd.png")
    for quiet in (False, True):
        words = ["--image", "@odd", *QUICK, *(["--quiet"] if quiet else [])]
        status, notes, out = paint(files, capsys, *words)
        assert status == 0 and Image.open(out).size == (240, 64)
        assert ("a picture of 230x70 is stretched by 12% to 240x64" in notes) != quiet


def test_a_cropped_repaint_has_the_size_of_its_picture(files, capsys):
    words = ["--image", "@wide", "--mask", "@wide_mask", "--padding-mask-crop", "4"]
    status, _, out = paint(files, capsys, *words, *QUICK)
    outside = np.asarray(WIDE_MASK) == 0
    assert status == 0
    assert np.array_equal(np.asarray(Image.open(out))[outside], np.asarray(WIDE)[outside])


@pytest.mark.parametrize(
    "words, line",
    [
        (
            ["--image", "@poster", "--strength", "0"],
            "--strength must be above 0 and at most 1, got",
        ),
        (["--image", "@poster", "--strength", "1.2"], "at most 1, got 1.2"),
        (["--image", "@poster", "--strength", "nan"], "at most 1, got nan"),
        (["--image", "@missing"], "--image must be a file that exists, got"),
        (["--image", "@text"], "text.png cannot be used as a picture (it is damaged, or none of"),
        (["--image", "@strip"], "must be at most 200 times as long as it is wide, got 10000x1"),
        (["--image", "@poster", "--mask", "@missing"], "--mask must be a file that exists, got"),
        (
            ["--image", "@poster", "--mask", "@small_mask"],
            "size of its picture, 128x128, got 64x64",
        ),
        (["--image", "@poster", "--mask", "@black"], "mask_image must be white where"),
        (["--mask", "@mask"], "--mask must go with a picture; add --image FILE"),
        (["--strength", "0.5"], "--strength must go with a picture; add --image FILE"),
        (["--image", "@poster", "--padding-mask-crop", "4"], "must go with a mask_image, got 4"),
        (["--image", "@poster", "--image", "@poster"], "once to a text-to-image model, got 2"),
    ],
)
def test_a_wrong_picture_is_one_line_and_status_two(files, capsys, words, line):
    status, error, out = paint(files, capsys, *words, *QUICK)
    assert status == 2 and not out.exists()
    assert line in error and error.startswith("qwenimage: ") and "\n" not in error


def test_the_bar_counts_the_steps_that_are_taken(files, capsys, monkeypatch):
    monkeypatch.setattr(loading, "NO_BAR", 0)  # two steps take less on a fast machine
    words = ["--image", str(files / "poster.png"), "--strength", "0.5", "--steps", "4"]
    assert cli.main(["paint", WISH, *words, "-o", str(files / "out.png")]) == 0
    assert "2/2" in capsys.readouterr().err
