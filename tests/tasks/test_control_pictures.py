"""Pictures for control networks, and the command that draws them."""

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.tasks.control_pictures import FARTHEST, canny, depth_order, soft_edges


def square(colour="white", size=(64, 48), box=(16, 12, 48, 36)) -> Image.Image:
    picture = Image.new("RGB", size)
    picture.paste(colour, box)
    return picture


def layer(box, size=(32, 32)) -> Image.Image:
    picture = Image.new("RGBA", size)
    picture.paste((200, 10, 10, 255), box)
    return picture


def test_canny_draws_thin_lines_where_the_edges_are_and_nothing_else():
    lines = np.asarray(canny(square()))
    assert lines.shape == (48, 64, 3) and set(np.unique(lines)) == {0, 255}
    # an edge lies between two pixels, and both are as steep
    assert np.flatnonzero(lines[24, :, 0]).tolist() == [15, 16, 47, 48]
    assert not lines[18:30, 22:42].any() and not lines[:8].any()


def test_soft_edges_are_white_where_it_is_steepest_and_fall_off():
    soft = np.asarray(soft_edges(square()))[24, :, 0].astype(int)
    assert soft.max() == 255 and soft[15] > soft[13] > soft[10] and soft[32] == 0


def test_a_picture_of_one_colour_has_no_edges():
    for draw in (canny, soft_edges):
        assert not np.asarray(draw(Image.new("RGB", (32, 32), "red"))).any()


def test_a_lower_threshold_finds_fainter_lines():
    faint = square((24, 24, 24))
    assert not np.asarray(canny(faint)).any()
    assert np.asarray(canny(faint, thresholds=(0.01, 0.02))).any()


def test_what_lies_higher_is_lighter_and_hides_what_is_below():
    depth = np.asarray(depth_order([layer((0, 0, 20, 20)), layer((10, 10, 30, 30))]))[..., 0]
    assert depth[5, 5] == FARTHEST and depth[15, 15] == depth[25, 25] == 255
    assert depth[31, 31] == 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: depth_order([layer((0, 0, 9, 9))]), "depth must be given two layers or more"),
        (
            lambda: depth_order([layer((0, 0, 9, 9)), layer((0, 0, 9, 9), (16, 16))]),
            "layers must be of one size, got 32x32, 16x16; crop them alike",
        ),
        (lambda: canny(square(), sigma=0), "sigma must be above 0 and thresholds in order"),
        (lambda: canny(square(), thresholds=(0.3, 0.2)), "thresholds in order from 0 to 1, got"),
        (lambda: soft_edges(square(), sigma=float("nan")), "sigma must be above 0, got nan"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)


# -- the command ----------------------------------------------------------------------------------


def command(*words) -> int:
    return cli.main(["control-picture", *map(str, words)])


def test_the_command_writes_what_the_function_draws(tmp_path, capsys):
    square().save(tmp_path / "photo.png")
    assert command("canny", tmp_path / "photo.png", "-o", tmp_path / "lines.png") == 0
    assert "lines.png: 64x48, canny" in capsys.readouterr().out
    assert np.array_equal(Image.open(tmp_path / "lines.png"), canny(square()))


def test_the_command_orders_layers(tmp_path):
    files = [tmp_path / "1.png", tmp_path / "2.png"]
    for n, file in enumerate(files):
        layer((n * 10, 0, n * 10 + 10, 10)).save(file)
    assert command("depth", *files, "-o", tmp_path / "depth.png") == 0
    assert set(np.unique(Image.open(tmp_path / "depth.png"))) == {0, FARTHEST, 255}


@pytest.mark.parametrize(
    "words, complaint",
    [
        (("canny", "a.png", "b.png"), "canny must get a single PICTURE, got 2"),
        (("depth", "a.png", "--sigma", 1), "--sigma must go with canny or soft"),
        (("soft", "a.png", "--thresholds", "0.1,0.2"), "--thresholds must go with canny"),
        (("canny", "a.png", "--thresholds", "0.1"), "--thresholds must be LOW,HIGH, for example"),
        (("canny", "none.png"), "none.png"),
        (("canny", "a.png", "-o", "out.gif"), "-o must end in one of .png"),
    ],
)
def test_a_wrong_option_is_one_line(tmp_path, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        square().save(f"{name}.png")
    assert command(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
