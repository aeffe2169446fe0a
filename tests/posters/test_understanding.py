"""Questions whose answer is a picture: masks, depth, edges, mirrors."""

import numpy as np
import pytest

from qwenimage_ref.posters.understanding import KINDS, answer_score, coverage, question


@pytest.mark.parametrize("kind", KINDS)
def test_the_wanted_picture_is_the_answer_and_the_poster_is_none(kind):
    for seed in range(6):
        asked = question(seed, (kind,))
        assert asked.wanted.shape == asked.picture.shape and asked.wanted.dtype == np.uint8
        best = {"mask": 1.0, "depth": 1.0, "edges": np.inf, "mirror": np.inf}[kind]
        assert answer_score(asked, asked.wanted) == best
        assert not np.array_equal(asked.wanted, asked.picture)


def test_a_mask_is_white_on_the_first_shape_alone():
    asked = next(
        q for q in (question(s, ("mask",)) for s in range(99)) if len(q.poster.shapes) == 2
    )
    white = asked.wanted[..., 0] > 127
    second = coverage(asked.poster, 1) > 0.5
    assert white.any() and second.any() and not (white & second).any()
    half = asked.wanted.copy()
    rows = np.flatnonzero(white.any(axis=1))
    half[rows[len(rows) // 2] :] = 0
    assert 0.2 < answer_score(asked, half) < 0.8


def test_the_shape_in_front_hides_the_other_and_is_lighter():
    for seed in range(8):
        asked = question(seed, ("depth",))
        front, behind = (coverage(asked.poster, i) > 0.9 for i in (1, 0))
        assert (front & behind).sum() > 20  # they do overlap
        gray = asked.wanted[..., 0].astype(int)
        assert gray[front].min() > gray[behind & ~front].max() > 50 > gray[0, 0]
        swapped = np.where(asked.wanted > 180, 110, np.where(asked.wanted > 55, 250, 0))
        assert answer_score(asked, swapped.astype(np.uint8)) == 0.0
        assert answer_score(asked, np.zeros_like(asked.wanted)) == 0.0


def test_edges_enclose_every_shape():
    asked = next(
        q for q in (question(s, ("edges",)) for s in range(99)) if len(q.poster.shapes) == 2
    )
    lines = asked.wanted[..., 0] > 127
    for i in (0, 1):
        shape = coverage(asked.poster, i) > 0.5
        assert (lines & shape).any() and 0.02 < (lines & shape).sum() / shape.sum() < 0.8


def test_a_mirror_turns_left_and_right_and_no_letters():
    for seed in range(6):
        asked = question(seed, ("mirror",))
        assert not asked.poster.word
        assert np.array_equal(asked.wanted, asked.picture[:, ::-1])
