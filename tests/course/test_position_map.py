"""Chapter 05's drawings: the position map, its sliders, the hands, and heat maps."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import rope
from qwenimage_ref.course import check
from qwenimage_ref.course.figures import position_map
from qwenimage_ref.course.heat_maps import heat
from qwenimage_ref.course.show import PALETTE


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def colour(name: str) -> np.ndarray:
    return np.array([int(PALETTE[name][i : i + 2], 16) for i in (1, 3, 5)])


def tint(name: str) -> np.ndarray:
    """The colour of a cell: 40 % of the palette's over white."""
    return 0.4 * colour(name) + 0.6 * 255


def cells(rows: int, cols: int, kind: str) -> list[tuple[int, int]]:
    """(row, col) of the cells of one kind, read off the picture of a map."""
    picture = np.asarray(opened(position_map.position_map(rows, cols, words=("",) * 5).data))
    low, high = position_map.REACH
    side = picture.shape[0]
    unit = 0.86 * side / (high - low + 1)
    found = []
    for row in range(low, high + 1):
        for col in range(low, high + 1):
            x, y = 0.12 * side + (col - low + 0.25) * unit, 0.12 * side + (row - low + 0.25) * unit
            if np.abs(picture[int(y), int(x)] - tint(kind)).max() < 12:
                found.append((row, col))
    return found


def test_the_map_shows_an_even_picture_centred_and_the_text_on_the_diagonal():
    assert cells(2, 4, "image") == [(row, col) for row in (-1, 0) for col in (-2, -1, 0, 1)]
    assert cells(2, 4, "text") == [(n, n) for n in range(2, 7)]


def test_the_map_marks_what_an_odd_side_has_too_much():
    assert cells(3, 2, "accent") == [(-2, -1), (-2, 0)]
    assert cells(2, 3, "accent") == [(-1, -2), (0, -2)]
    assert cells(2, 2, "accent") == []


def test_the_words_of_a_map_say_its_grid_and_where_text_starts():
    assert position_map.say(5, 8) == "grid 5 x 8, text starts at 4"
    assert "grid 5 x 8, text starts at 4" in position_map.position_map(5, 8).alt


def test_maps_of_all_grids_have_one_size_and_lie_over_each_other():
    sizes = {position_map.position_picture(*grid).size for grid in ((1, 1), (9, 9))}
    assert len(sizes) == 1


def test_a_moved_slider_draws_another_map_and_says_so():
    grid = position_map.GridSliders(5, 8)
    before = grid.picture.value
    grid.cols.value = 9
    assert grid.words.value == "grid 5 x 9, text starts at 4"
    assert grid.picture.value != before
    grid.cols.value = 8
    assert grid.picture.value == before


def test_where_no_widget_can_be_the_sliders_are_words():
    assert repr(position_map.GridSliders(2, 2)).startswith("sliders for rows and columns")


SPEEDS = (1.0, 0.1)


def test_hands_that_move_together_keep_the_angles_between_them():
    hands = position_map.HandSliders(2, 5, SPEEDS)
    before = hands.picture.value, hands.words.value
    hands.query.value, hands.key.value = 7, 10
    assert hands.words.value == before[1] and hands.picture.value != before[0]
    assert hands.between(7, 10) == hands.between(2, 5) == pytest.approx([3, 0.3])


def test_the_words_of_two_hands_give_their_distance_and_the_angle_of_each_pair():
    words = position_map.HandSliders(6, 4, SPEEDS).words.value
    assert words == "key minus query: -2; angles between the hands: -2, -0.2"


def test_the_hand_of_a_query_is_orange_and_that_of_a_key_is_blue():
    picture = np.asarray(position_map.hands_picture(0, 0, (1.0,))).astype(int)
    assert (np.abs(picture - colour("image")).max(-1) < 30).any(), "the query's hand is on top"
    turned = np.asarray(position_map.hands_picture(0, 2, (1.0,))).astype(int)
    orange, blue = (np.abs(turned - colour(role)).max(-1) < 30 for role in ("image", "text"))
    assert np.ptp(orange.nonzero()[0]) < np.ptp(blue.nonzero()[0]), "only the key's hand turned"


def test_hands_are_dragged_within_the_positions_offered():
    hands = position_map.HandSliders(2, 5, SPEEDS)
    assert (hands.key.min, hands.key.max) == position_map.PLACES and hands.key.continuous_update
    assert repr(hands).startswith("sliders for the positions of a query and a key")


def test_hands_point_where_their_angles_say():
    shown = position_map.clocks(
        torch.tensor([[0.0], [np.pi / 2]]), ["pair"], "two hands, right and up"
    )
    picture = np.asarray(opened(shown.data)).astype(int)
    orange = np.abs(picture - colour("image")).max(-1) < 30
    rows, cols = np.nonzero(orange)
    right = cols > picture.shape[1] * 0.6
    assert np.ptp(cols[~right]) > 2 * np.ptp(rows[~right]), "the first hand lies flat"
    assert np.ptp(rows[right]) > 2 * np.ptp(cols[right]), "the second stands up"
    assert plt.get_fignums() == []


def test_a_heat_map_is_white_where_nothing_is_and_dark_where_most_is():
    values = [[0.0, 0.0], [0.0, 1.0]]
    shown = heat([{"values": values, "title": ""}], "a square of four, one of them dark", side=2)
    picture = np.asarray(opened(shown.data)).astype(int)
    height, width, _ = picture.shape
    assert picture[int(0.35 * height), int(0.25 * width)].min() > 245
    assert picture[int(0.75 * height), int(0.75 * width)].max() < 60


@pytest.mark.parametrize("count, columns", [(3, 2), (4, 4)])
def test_heat_maps_stand_in_rows(count, columns):
    panels = [{"values": np.eye(3), "title": "one"}] * count
    picture = opened(heat(panels, "several squares", columns=columns, side=1.5).data)
    assert (picture.width > picture.height) == (columns == 4)


def test_other_right_ways_to_turn_pass(capsys):
    def by_complex_numbers(x, angle):
        pairs = torch.view_as_complex(x.view(len(x), -1, 2))
        return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(1)

    def by_slices(x, angle):
        turned = x.clone()
        turned[:, ::2] = x[:, ::2] * angle.cos() - x[:, 1::2] * angle.sin()
        turned[:, 1::2] = x[:, ::2] * angle.sin() + x[:, 1::2] * angle.cos()
        return turned

    check.ex_05_rotate(by_complex_numbers)
    check.ex_05_rotate(by_slices)
    assert capsys.readouterr().out.count("right") == 2


def test_places_may_be_ranges_or_tensors(capsys):
    def tensors(rows, cols):
        img, txt = rope.positions([(1, rows, cols)], 1)
        return [img[:, 1].unique(), img[:, 2].unique(), txt[0, 0]]

    def ranges(rows, cols):
        down, right = rows // 2, cols // 2
        return range(down - rows, down), range(right - cols, right), max(down, right)

    check.ex_05_odd(tensors)
    check.ex_05_odd(ranges)
    assert capsys.readouterr().out.count("right") == 2
