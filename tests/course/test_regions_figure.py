"""The figures of chapter 26: the coloured mask, boxes, and the panel that draws them."""

import io

import numpy as np
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from qwenimage_ref.course.figures import regions
from qwenimage_ref.course.figures.regions import BoxPanel, box_mask, boxed, coloured
from qwenimage_ref.course.show import PALETTE
from qwenimage_ref.posters.crowded import crowded
from qwenimage_ref.tasks.regions import seen_tokens

SEEN = torch.tensor([[True, False, False], [False, True, False]])


def test_every_text_has_its_colour_and_what_is_not_seen_is_white():
    colours = coloured([2, 1, 1], SEEN)
    orange, green, blue = (to_rgb(PALETTE[n]) for n in ("image", "joint", "text"))
    assert np.allclose(colours[0, [0, 1, 4]], orange) and np.allclose(colours[4, 0], orange)
    assert np.allclose(colours[2, [2, 5]], green) and np.allclose(colours[3:, 3], blue)
    assert np.allclose(colours[0, [2, 3, 5, 6]], 1) and np.allclose(colours[6, 0], 1)
    assert (colours[4:, 4:] < 1).all()


def test_a_drawing_is_not_empty_and_is_described():
    poster = crowded(1, 3)
    seen = torch.stack([seen_tokens(mask, [(1, 8, 8)]) for _, mask in poster.regions])
    shown = regions.mask_figure(poster, [5, 5, 5, 12], seen, "what is to be seen")
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("L"))
    assert shown.alt == "what is to be seen" and 0.1 < (pixels < 200).mean() < 0.9
    assert pixels.shape[1] <= 1200


def test_a_mask_is_white_inside_its_box_alone_and_empty_where_edges_cross():
    pixels = np.asarray(box_mask((16, 96, 32, 128)))
    assert pixels[96:, 16:32].min() == 255 and pixels.sum() == 255 * 32 * 16
    assert box_mask((64, 0, 32, 128)).getbbox() is None


def test_boxes_are_drawn_in_the_colours_of_their_regions():
    pixels = np.asarray(boxed([(0, 0, 16, 16), (64, 64, 128, 128)]))
    colours = [tuple(round(255 * part) for part in to_rgb(PALETTE[n])) for n in ("image", "joint")]
    assert [tuple(pixels[0, 0]), tuple(pixels[127, 127])] == colours
    assert (pixels[40, 40] == 255).all()


class Counting:
    """Stands in for a pipeline: gives white pictures and counts."""

    def __init__(self):
        self.calls = []

    def __call__(self, prompt, negative_prompt, regions, **_):
        self.calls.append([(text, mask.getbbox()) for text, mask in regions])
        return [Image.new("RGB", (128, 128), "white")]


def panel() -> BoxPanel:
    boxes = [(0, 0, 64, 64), (64, 64, 128, 128)]
    return BoxPanel(Counting(), "two shapes", ["a red circle", "a blue star"], boxes)


def test_each_set_of_boxes_is_painted_once_with_its_prompts():
    shown = panel()
    first = shown.picture.value
    assert Image.open(io.BytesIO(first)).size == (260, 128)
    shown.sides[0].value = (16, 96)
    assert shown.picture.value != first and shown.words.value.startswith("boxes of 80 × 64, 64")
    shown.sides[0].value = (0, 64)
    assert shown.picture.value == first
    star = ("a blue star", (64, 64, 128, 128))
    assert shown.pipe.calls == [
        [("a red circle", (0, 0, 64, 64)), star],
        [("a red circle", (16, 0, 96, 64)), star],
    ]


def test_an_empty_box_paints_nothing_and_says_so():
    shown = panel()
    shown.sides[1].value = (32, 32)
    assert len(shown.pipe.calls) == 1 and shown.words.value.startswith("a box is empty")
