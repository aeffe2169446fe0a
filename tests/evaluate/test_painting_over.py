"""Wishes for posters, and what counts as obeyed and kept."""

from dataclasses import replace

import pytest
from PIL import Image

from qwenimage_ref.evaluate import painting_over
from qwenimage_ref.evaluate.painting_over import Wish, kept, mask_of, obeyed, wishes
from qwenimage_ref.posters.draw import draw

PARTS = pytest.mark.parametrize("part", ["shape", "word"])


def drawn(wish: Wish, **changes) -> Image.Image:
    return Image.fromarray(draw(replace(wish.wish, **changes), wish.seed))


@PARTS
def test_a_wish_changes_its_part_and_nothing_else(part):
    for wish in wishes(30, part):
        assert wish.start.background == wish.wish.background
        assert wish.start.shapes[0] == wish.wish.shapes[0]
        assert (wish.start.word != wish.wish.word) == (part == "word")
        assert (wish.start.shapes[1] != wish.wish.shapes[1]) == (part == "shape")


@PARTS
def test_the_wish_drawn_is_obeyed_and_keeps_the_rest(part):
    for wish in wishes(12, part):
        assert obeyed(wish, drawn(wish)) and kept(wish, drawn(wish))
        assert not obeyed(wish, wish.poster) and kept(wish, wish.poster)


@PARTS
def test_another_paper_or_a_moved_poster_is_not_kept(part):
    for wish in wishes(12, part):
        other = "white" if wish.start.background != "white" else "navy"
        moved = Image.new("RGB", (128, 128), wish.poster.getpixel((0, 0)))
        moved.paste(wish.poster, (0, 6))
        assert not kept(wish, drawn(wish, background=other)) and not kept(wish, moved)


@PARTS
def test_under_the_black_of_a_mask_lies_everything_that_stays(part):
    mask = mask_of(part)
    for wish in wishes(12, part):
        both = Image.composite(drawn(wish), wish.poster, mask)
        assert kept(wish, both) and obeyed(wish, both)


def test_answers_become_a_share_with_its_interval():
    row = painting_over.share("1101")
    assert (row["right"], row["of"]) == (3, 4) and row["low"] < 0.75 < row["high"]
