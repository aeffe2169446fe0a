"""`qwenimage paint --vae-tiling`, and tiles that are chosen where memory does not suffice."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.adapt.tiling import TiledVAE

POCKET = Path(__file__).parents[2] / "data" / "pocket"
WISH = "a green ring on a white background"
WORDS = ["paint", WISH, "--size", "320x64", "--steps", "2", "--quiet", "-o"]


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """The picture in tiles"""
    pipe = QwenImage.from_pretrained(POCKET)
    pipe.vae = TiledVAE(pipe.vae)
    settings = {"height": 64, "width": 320, "num_inference_steps": 2, "seed": 0}
    return np.asarray(pipe(WISH, " ", **settings)[0])


def test_the_command_works_in_tiles_where_asked(tmp_path, capsys, expected):
    file = tmp_path / "out.png"
    assert cli.main([*WORDS, str(file), "--vae-tiling"]) == 0
    assert np.array_equal(np.asarray(Image.open(file)), expected)
    assert "tiles" not in capsys.readouterr().err


def test_the_command_works_in_tiles_where_memory_does_not_suffice_and_says_so(
    tmp_path, capsys, monkeypatch, expected
):
    file = tmp_path / "out.png"
    monkeypatch.setattr("qwenimage_ref.adapt.tiling.fits_memory", lambda *_: False)
    assert cli.main([*WORDS, str(file)]) == 0
    assert np.array_equal(np.asarray(Image.open(file)), expected)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "tiles" in line]
    assert line.startswith("qwenimage: note: 1 of 320x64 pixels would not fit into memory at once")
