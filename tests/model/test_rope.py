"""Where every token sits, and how far its pairs are turned."""

import math

import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage import (
    QwenEmbedLayer3DRope,
    QwenEmbedRope,
)

from qwenimage_ref.rope import positions, rotate, rotations

AXES = (16, 56, 56)  # head dims that turn with frame, row, column in every release


def corners(img):
    return img[0].tolist(), img[-1].tolist()


def diagonal(start, length):
    return [[n] * 3 for n in range(start, start + length)]


# -- positions ------------------------------------------------------------------------------------


def test_the_largest_official_square_runs_from_minus_42_to_40_and_its_text_starts_at_41():
    img, txt = positions([(1, 83, 83)], 3)
    assert img.shape == (83 * 83, 3)
    assert corners(img) == ([0, -42, -42], [0, 40, 40])
    assert txt.tolist() == diagonal(41, 3)


@pytest.mark.parametrize(
    "size, places", [(1, [-1]), (2, [-1, 0]), (4, [-2, -1, 0, 1]), (5, [-3, -2, -1, 0, 1])]
)
def test_an_odd_size_has_its_extra_row_on_the_negative_side(size, places):
    rows, _ = positions([(1, size, 1)], 0)
    cols, _ = positions([(1, 1, size)], 0)
    assert rows[:, 1].tolist() == places
    assert cols[:, 2].tolist() == places


def test_tokens_come_in_reading_order():
    img, _ = positions([(1, 2, 3)], 0)
    places = [(row, col) for row in (-1, 0) for col in (-2, -1, 0)]
    assert img.tolist() == [[0, row, col] for row, col in places]


@pytest.mark.parametrize("grid, start", [((1, 4, 6), 3), ((1, 7, 2), 3), ((1, 1, 1), 0)])
def test_text_starts_at_half_of_the_longer_side_rounded_down(grid, start):
    _, txt = positions([grid], 4)
    assert txt.tolist() == diagonal(start, 4)


def test_every_reference_has_a_frame_of_its_own_and_is_centred_on_its_own_size():
    img, txt = positions([(1, 4, 6), (1, 9, 2), (1, 3, 5)], 2)
    target, first, second = img.split([24, 18, 15])
    assert corners(target) == ([0, -2, -3], [0, 1, 2])
    assert corners(first) == ([1, -5, -1], [1, 3, 0])
    assert corners(second) == ([2, -2, -3], [2, 0, 1])
    assert txt.tolist() == diagonal(4, 2)  # off the largest of all: 9 // 2


def test_layers_count_from_zero_and_their_condition_picture_is_frame_minus_one():
    img, txt = positions([(3, 4, 6), (1, 4, 6)], 2, layered=True)
    assert img[:, 0].tolist() == [0] * 24 + [1] * 24 + [2] * 24 + [-1] * 24
    assert torch.equal(img[:24, 1:], img[-24:, 1:])
    assert txt.tolist() == diagonal(3, 2)


def test_text_starts_beyond_the_layers_where_they_outnumber_the_rows():
    _, txt = positions([(8, 2, 4), (1, 2, 4)], 2, layered=True)
    assert txt.tolist() == diagonal(8, 2)  # nine pictures, so the text does not start below 8


def test_positions_are_integers_even_without_text():
    img, txt = positions([(1, 2, 3)], 0)
    assert img.dtype == txt.dtype == torch.int64
    assert txt.shape == (0, 3)


# -- angles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grids, text_length",
    [
        ([(1, 83, 83)], 37),
        ([(1, 5, 7)], 4),
        ([(1, 4, 6), (1, 9, 2), (1, 3, 5)], 11),
    ],
    ids=["1328 square", "odd", "two references"],
)
def test_rotations_equal_those_of_diffusers(grids, text_length):
    img, txt = positions(grids, text_length)
    theirs = QwenEmbedRope(theta=10000, axes_dim=list(AXES), scale_rope=True)
    expected_img, expected_txt = theirs([grids], max_txt_seq_len=text_length, device="cpu")
    assert torch.equal(rotations(img, AXES), expected_img)
    assert torch.equal(rotations(txt, AXES), expected_txt)


def test_rotations_of_layers_equal_those_of_diffusers():
    img, txt = positions([(3, 5, 4), (1, 5, 4)], 6, layered=True)
    theirs = QwenEmbedLayer3DRope(theta=10000, axes_dim=list(AXES), scale_rope=True)
    expected_img, expected_txt = theirs([[(1, 5, 4)] * 4], max_txt_seq_len=6, device="cpu")
    assert torch.equal(rotations(img, AXES), expected_img)
    assert torch.equal(rotations(txt, AXES), expected_txt)


def test_pairs_turn_with_frame_row_and_column_in_this_order():
    turned = rotations(torch.tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), (4, 6, 2)).angle()
    expected = torch.zeros(3, 6)
    expected[0, :2] = torch.tensor([1, 10000 ** (-2 / 4)])
    expected[1, 2:5] = torch.tensor([1, 10000 ** (-2 / 6), 10000 ** (-4 / 6)])
    expected[2, 5] = 1
    torch.testing.assert_close(turned, expected)


def test_every_rotation_has_length_one():
    pos = torch.tensor([[-1, -42, 40], [3, 500, 4095]])
    torch.testing.assert_close(rotations(pos, AXES).abs(), torch.ones(2, 64))


# -- turning --------------------------------------------------------------------------------------


def test_neighbouring_dims_are_a_pair_and_turn_counter_clockwise():
    quarter = torch.polar(torch.ones(1, 2), torch.tensor([[math.pi / 2, 0.0]]))
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 1, 4)
    expected = torch.tensor([-2.0, 1.0, 3.0, 4.0]).view(1, 1, 1, 4)
    torch.testing.assert_close(rotate(x, quarter), expected)


def test_the_product_of_two_tokens_depends_on_their_distance_alone():
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 128, generator=generator)

    def product(at_q, at_k):
        turned = [
            rotate(x, rotations(torch.tensor([at]), AXES)) for x, at in ((q, at_q), (k, at_k))
        ]
        return (turned[0] * turned[1]).sum()

    near = product((0, 3, -5), (1, 7, 2))
    far = product((2, 33, 35), (3, 37, 42))
    torch.testing.assert_close(near, far, atol=1e-4, rtol=0)
    assert (product((0, 3, -5), (1, 8, 2)) - near).abs() > 0.1


def test_bf16_is_turned_in_float32_and_rounded_once():
    x = torch.randn(1, 3, 2, 128, generator=torch.Generator().manual_seed(0)).bfloat16()
    turn = rotations(torch.tensor([[0, 40, -42]] * 3), AXES)
    assert torch.equal(rotate(x, turn), rotate(x.float(), turn).bfloat16())
