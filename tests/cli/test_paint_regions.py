"""`qwenimage paint --region` and `--context`, and one line for what cannot be painted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref import QwenImage, cli

POCKET = Path(__file__).parents[2] / "data" / "pocket"
WISH = "two shapes on a white background"
WORDS = ["--size", "64x64", "--steps", "2", "--quiet"]


@pytest.fixture
def files(tmp_path):
    """Masks and pictures, each a file"""
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    masks = {
        "left": half, "grey": half.resize((128, 128), Image.Resampling.BICUBIC),
        "wide": Image.new("L", (96, 32), 255), "edges": Image.new("RGB", (50, 70), "navy"),
        "a=b": half,
    }  # fmt: skip
    for name, mask in masks.items():
        mask.save(tmp_path / f"{name}.png")
    (tmp_path / "text.png").write_text("no picture")
    return tmp_path


def paint(files, capsys, *words):
    """Exit status, the lines on stderr, and the picture's file; @NAME is a file"""
    out = files / "out.png"
    words = [str(word).replace("@", f"{files}/") for word in words]
    status = cli.main(["paint", WISH, *WORDS, *words, "-o", str(out)])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, [line for line in lines if line and not line.startswith("painting:")], out


def test_the_command_paints_what_the_pipeline_paints(files, capsys):
    status, lines, out = paint(
        files, capsys, "--region", "a red=circle=@left.png", "--region", "a star=@a=b.png",
        "--regions-on-negative", "--context", "@edges.png",
    )  # fmt: skip
    half, edges = Image.open(files / "left.png"), Image.open(files / "edges.png")
    expected = QwenImage.from_pretrained(POCKET)(
        WISH, " ", height=64, width=64, num_inference_steps=2, seed=0, context_image=edges,
        regions=[("a red=circle", half), ("a star", half)], regions_on_negative=True,
    )[0]  # fmt: skip
    assert (status, lines) == (0, [])
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected))


@pytest.mark.parametrize(
    "words, error",
    [
        (["--region", "a star"], "--region must be PROMPT=MASK"),
        (["--region", "=@left.png"], "--region must be PROMPT=MASK"),
        (["--region", "a star=@none.png"], "none.png must be a mask's file, and there is none"),
        (["--region", "a star=@text.png"], "text.png cannot be used as a picture"),
        (["--region", "a star=@grey.png"], 'mask of "a star" must be black and white'),
        (["--region", "a star=@wide.png"], "proportions of the target, 64x64, got 96x32"),
        (["--region", "a star=@left.png"] * 30, "regions must be 1 to 16, got 30"),
        (["--regions-on-negative"], "--regions-on-negative must go with regions"),
        (["--context", "@none.png"], "none.png must be a picture's file"),
    ],
)
def test_what_cannot_be_painted_is_one_line(files, capsys, words, error):
    status, lines, out = paint(files, capsys, *words)
    assert status == 2 and len(lines) == 1 and error in lines[0]
    assert not out.exists()
