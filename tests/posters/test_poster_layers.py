"""Posters as layers: what lies on each other is the poster, and who judges painted layers."""

import numpy as np
import pytest

from qwenimage_ref.posters.draw import paint
from qwenimage_ref.posters.layers import composed, judge, layered
from qwenimage_ref.posters.scene import SMALL


def test_layers_on_each_other_are_the_poster():
    for seed in range(12):
        poster = layered(seed)
        assert len(poster.layers) == poster.count
        assert all(layer.dtype == np.uint8 and layer.shape[2] == 4 for layer in poster.layers)
        rings = [shape.name for shape in poster.placed.shapes[1:]].count("ring")
        if not rings:  # where a ring lies on a shape, the layers show it through the hole
            error = abs(composed(poster.layers)[..., :3] - paint(poster.placed).astype(int))
            # in a pixel that two outlines cross, alpha does not say who covers which part of it
            assert error.mean() < 0.1 and error.max() < 40


def test_every_number_of_layers_can_be_asked_for_at_every_size():
    for count in (2, 3, 4):
        poster = layered(count, count, size=SMALL)
        assert poster.count == count and poster.placed.size == SMALL
        assert poster.picture.shape == (96, 96, 4)


def test_the_true_layers_have_every_point_and_wrong_ones_lose_them():
    poster = layered(1, 4)
    true = poster.layers
    best = judge(poster, true)
    assert best["iou"] == 1.0 and best["colours"] and best["psnr"] >= 99
    recoloured = [each.copy() for each in true]
    recoloured[1][..., :3] = 255 - recoloured[1][..., :3]
    seen = judge(poster, recoloured)
    assert seen["iou"] == 1.0 and not seen["colours"] and seen["psnr"] < 30
    empty = [*true[:3], np.zeros_like(true[3])]
    seen = judge(poster, empty)
    assert seen["iou"] == 0.75 and not seen["colours"]
    flat = [poster.picture, *(np.zeros_like(each) for each in true[1:])]
    assert judge(poster, flat)["psnr"] >= 99 and judge(poster, flat)["iou"] == 0.25
    with pytest.raises(ValueError, match="^layers must be 4, got 3$"):
        judge(poster, true[:3])


def test_some_pairs_overlap_and_both_shapes_are_whole_in_their_layers():
    posters = [layered(seed, 3) for seed in range(40)]
    pairs = [each for each in posters if len(each.placed.shapes) == 2]
    common = [(a[..., 3] > 127) & (b[..., 3] > 127) for a, b in (p.layers[1:3] for p in pairs)]
    share = np.mean([each.any() for each in common])
    assert 0.2 < share < 0.8


def test_the_prompt_says_what_the_poster_shows():
    for seed in range(8):
        poster = layered(seed)
        assert poster.prompt and (not poster.placed.word or poster.placed.word in poster.prompt)
    assert layered(3).prompt == layered(3).prompt
