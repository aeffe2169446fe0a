"""Numbers of few bits in pictures: their patterns, their steps, and the shelf of formats."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.course.figures import number_formats
from tests.helpers.pixels import painted


def test_the_bits_of_a_number_are_sign_exponent_and_fraction():
    assert number_formats.pattern(1.0, "float8_e4m3fn") == ("0", "0111", "000")
    assert number_formats.pattern(-1.5, "bfloat16") == ("1", "01111111", "1000000")
    assert number_formats.pattern(0.1, "float32") == ("0", "01111011", "10011001100110011001101")


@pytest.mark.parametrize("name", number_formats.KINDS)
def test_a_pattern_has_as_many_bits_as_its_kind(name):
    sign, exponent, fraction = number_formats.pattern(-0.3, name)
    kind = number_formats.KINDS[name]
    assert (len(exponent), len(fraction)) == (kind.exponent, kind.fraction)
    assert sign == "1" and kind.bits == torch.finfo(kind.dtype).bits


def test_all_numbers_of_a_kind_come_in_the_order_of_their_patterns():
    numbers = number_formats.all_numbers("float8_e4m3fn")
    assert len(numbers) == 256
    assert numbers[0b0_0111_000] == 1 and numbers[0b1_0111_000] == -1
    assert numbers[0b0_1111_110] == 448 and math.isnan(numbers[0b0_1111_111])


def test_all_numbers_of_a_large_kind_are_refused():
    with pytest.raises(ValueError, match="at most 16 bits, got"):
        number_formats.all_numbers("float32")


def test_steps_are_finite_sorted_and_each_there_once():
    numbers = torch.tensor([2.0, -1.0, math.nan, 0.0, -0.0, math.inf, 2.0])
    assert number_formats.steps_between(numbers).tolist() == [-1, 0, 2]


def test_rounding_costs_half_a_step_until_the_exponents_run_out():
    assert number_formats.worst_rounding("bfloat16", [0, -20]) == pytest.approx(
        [1 / 257] * 2, rel=1e-2
    )
    assert number_formats.worst_rounding("float8_e4m3fn", [0])[0] == pytest.approx(1 / 17, rel=1e-2)
    assert number_formats.worst_rounding("float8_e4m3fn", [-12, 12]) == pytest.approx(
        [1, 1], abs=0.06
    )


def test_every_figure_is_drawn_in_its_colours():
    w = torch.linspace(-1, 1, 64)
    errors = {f"transformer_blocks.{i}.{n}": 0.1 for i in range(2) for n in ("img_mod.1", "b")}
    score = {"low": 0.1, "share": 0.5, "high": 0.9}
    row = {"bytes": 9e6, "scene": score, "word": score}
    grids = {"two": (w, {"plain": w[::7]})}
    unpacked = {name: (w[:32].roll(1), w[:4]) for name in "ab"}
    series = {"bf16": errors, "fp8": {name: 0.3 for name in errors}}
    scores = {"a, b": row, "c": row | {"bytes": 4e6}}
    figures = {
        number_formats.rounding(["bfloat16"], range(-3, 3), "errors by size"): ("ink",),
        number_formats.weights_on_grids(grids, "weights on a grid"): ("light", "ink"),
        number_formats.blocks(w[:32], unpacked, "blocks of 32"): ("wrong", "text"),
        number_formats.layer_errors(series, "errors by layer"): ("ink", "text"),
        number_formats.quality(scores, "scores over bytes"): ("text", "image"),
    }
    for shown, roles in figures.items():
        counts = {role: painted(shown, role) for role in roles}
        assert min(counts.values()) > 10, (shown.alt, counts)


def test_a_switch_has_a_full_cell_for_every_bit_that_is_one():
    shown = number_formats.switches(-0.1, "bits of a number in four kinds")
    ones = dict.fromkeys(("wrong", "text", "image"), 0)
    for name in number_formats.KINDS:
        for role, bits in zip(ones, number_formats.pattern(-0.1, name)):
            ones[role] += bits.count("1")
    cells = {role: painted(shown, role, opacity=0.85) for role in ones}
    for role, count in ones.items():
        share = count / sum(ones.values())
        assert cells[role] / sum(cells.values()) == pytest.approx(share, rel=0.1), role


def shelf() -> number_formats.FormatSlider:
    pictures = {n: Image.new("RGB", (8, 8), colour) for n, colour in (("a", "red"), ("b", "blue"))}
    return number_formats.FormatSlider(pictures, {"a": "first words", "b": "second words"})


def test_the_shelf_shows_picture_and_words_of_the_chosen_format():
    made = shelf()
    first = made.picture.value
    assert made.words.value == "first words"
    made.format.value = "b"
    assert made.picture.value != first and made.words.value == "second words"
    made.format.value = "a"
    assert made.picture.value == first


def test_a_format_slider_without_words_for_a_picture_is_refused():
    with pytest.raises(ValueError, match="must be of the same formats"):
        number_formats.FormatSlider({"a": Image.new("RGB", (8, 8))}, {})


def test_where_no_widget_can_be_the_shelf_is_words():
    assert "slider for the format" in repr(shelf())


def test_the_bits_drawn_are_those_of_the_number_that_is_kept():
    for value in (0.1, -3.0, 448.0):
        for name, kind in number_formats.KINDS.items():
            whole = int("".join(number_formats.pattern(value, name)), 2)
            signed = np.array([whole], np.uint32 if kind.bits == 32 else f"uint{kind.bits}")
            found = torch.from_numpy(signed.view(f"int{kind.bits}")).view(kind.dtype)
            assert found.float().item() == number_formats.kept(value, name)
