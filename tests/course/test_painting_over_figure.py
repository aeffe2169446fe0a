"""The figures of chapter 23: rectangles, veils, masks in latents, the panel with its sliders."""

import io

import numpy as np
from helpers.painting_over import POSTER
from PIL import Image

from qwenimage_ref.course.figures import painting_over
from qwenimage_ref.course.figures.painting_over import MaskPanel, rectangle, tinted


def test_a_rectangle_is_white_up_to_its_edges_and_empty_where_they_cross():
    pixels = np.asarray(rectangle(16, 96, 32, 128))
    assert pixels[96:, 16:32].min() == 255 and pixels.sum() == 255 * 32 * 16
    assert rectangle(64, 0, 32, 128).getbbox() is None


def test_a_veil_lies_over_the_white_alone():
    mask = rectangle(0, 96, 128, 128)
    before, after = np.asarray(POSTER), np.asarray(tinted(POSTER, mask))
    assert np.array_equal(before[:96], after[:96])
    assert (before[96:] != after[96:]).any(axis=2).all()


class Counting:
    """Stands in for a pipeline: gives the picture back and counts."""

    def __init__(self):
        self.calls = []

    def __call__(self, prompt, negative_prompt, image, mask_image, strength, **_):
        self.calls.append((mask_image.getbbox(), strength))
        return [image]


def test_each_rectangle_and_strength_is_painted_once():
    pipe = Counting()
    panel = MaskPanel(pipe, POSTER, "a red circle")
    first = panel.picture.value
    assert Image.open(io.BytesIO(first)).size == (260, 128)
    panel.edges[1].value = 64
    assert panel.picture.value != first
    panel.edges[1].value = 96
    assert panel.picture.value == first
    panel.strength.value = 0.6
    assert pipe.calls == [
        ((0, 96, 128, 128), 1.0),
        ((0, 64, 128, 128), 1.0),
        ((0, 96, 128, 128), 0.6),
    ]


def test_an_empty_rectangle_paints_nothing_and_says_so():
    pipe = Counting()
    panel = MaskPanel(pipe, POSTER, "a red circle")
    panel.edges[2].value = 0
    assert len(pipe.calls) == 1 and panel.words.value.startswith("the rectangle is empty")


def test_a_drawing_is_not_empty_and_is_described():
    alt = "what is to be seen"
    shown = painting_over.masks(rectangle(0, 64, 64, 128), 2, 1.0, alt)
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("L"))
    assert shown.alt == alt and 0.01 < (pixels < 128).mean() < 0.9
