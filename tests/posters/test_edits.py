"""Instructions for posters: what each changes, what it leaves, and who judges a picture."""

import dataclasses
import re

import numpy as np
import pytest

from qwenimage_ref.posters.draw import paint, small_places
from qwenimage_ref.posters.edit_judge import judge
from qwenimage_ref.posters.edits import SEVERAL_PICTURES, SINGLE, edit, edit_of_several
from qwenimage_ref.posters.scene import SIZES, UNSEEN_PAIRS, Shape

FEW = range(6)


@pytest.mark.parametrize("kind", SINGLE)
def test_the_wanted_poster_obeys_and_the_poster_as_it_was_does_not(kind):
    for seed in FEW:
        asked = edit(f"{kind} {seed}", (kind,))
        assert judge(asked, asked.wanted) == {"obeyed": True, "untouched": True, "both": True}
        (before,) = asked.pictures
        assert judge(asked, before) == {"obeyed": False, "untouched": True, "both": False}


@pytest.mark.parametrize("kind", SEVERAL_PICTURES)
def test_the_wanted_poster_of_several_obeys(kind):
    for seed in FEW:
        asked = edit_of_several(f"{kind} {seed}", (kind,))
        assert judge(asked, asked.wanted)["both"]
        assert len(asked.pictures) == SEVERAL_PICTURES[kind][0]
        assert not any(np.array_equal(asked.wanted, each) for each in asked.pictures)


def test_other_pixels_are_the_same_before_and_after():
    for seed in FEW:
        asked = edit(f"elsewhere {seed}", ("word",))
        changed = (asked.pictures[0] != asked.wanted).any(axis=(1, 2))
        assert changed.any() and not changed[:-36].any()  # rows of the word alone


def test_a_disturbed_rest_is_noticed_and_so_is_a_part_that_was_not_obeyed():
    asked = next(e for e in (edit(f"rest {i}", ("recolour",)) for i in range(99))
                 if len(e.target.shapes) == 2 and e.target.word)  # fmt: skip
    (mine,) = asked.changed
    target, rest = asked.target, 1 - mine
    shapes = list(target.shapes)
    shapes[rest] = Shape("star" if shapes[rest].name != "star" else "ring", shapes[rest].colour)
    paper = "white" if target.background != "white" else "mint"
    (x, y, radius), spots = target.spots[rest], list(target.spots)
    spots[rest] = (x + 14 if x < 64 else x - 14, y, radius)
    for change in (
        {"shapes": tuple(shapes)},
        {"word": "A" if target.word != "A" else "B"},
        {"word": ""},
        {"background": paper},
        {"spots": tuple(spots)},
        {"shapes": (target.shapes[mine],), "spots": (target.spots[mine],)},
    ):
        seen = judge(asked, paint(dataclasses.replace(target, **change)))
        assert seen == {"obeyed": True, "untouched": False, "both": False}, change


def test_a_shape_that_was_to_go_and_stays_is_disobedience_and_a_new_one_a_disturbance():
    asked = next(e for e in (edit(f"gone {i}", ("move",)) for i in range(99))
                 if e.target.size[0] >= 144)  # fmt: skip
    (before,), target, width = asked.sources, asked.target, asked.target.size[0]
    taken = {x for x, _, _ in (*before.spots, *target.spots)}
    free = max(small_places(width).values(), key=lambda x: min(abs(x - t) for t in taken))
    for spot, obeyed, untouched in ((before.spots[0], False, True),
                                    ((free, *before.spots[0][1:]), True, False)):  # fmt: skip
        both = dataclasses.replace(target, shapes=target.shapes * 2, spots=(*target.spots, spot))
        assert judge(asked, paint(both)) == {
            "obeyed": obeyed, "untouched": untouched, "both": False
        }  # fmt: skip


def test_training_never_wants_a_pair_that_is_kept_for_measuring():
    def pairs(asked):
        return {(shape.colour, shape.name) for shape in asked.target.shapes} & UNSEEN_PAIRS

    assert not any(pairs(edit(seed)) for seed in range(200))
    assert all(pairs(edit(seed, ("recolour",), unseen=True)) for seed in range(20))
    assert all(edit(s).sources[0].size in SIZES for s in range(20))


def test_an_instruction_is_english_or_chinese_plain_or_loose_and_the_same_every_time():
    texts = [edit(seed).prompt for seed in range(300)]
    chinese = sum(bool(re.search("[\u4e00-\u9fff]", re.sub('[“"].*[”"]', "", t))) for t in texts)
    assert 70 < chinese < 130  # a third
    assert texts == [edit(seed).prompt for seed in range(300)]
    plain = {edit(s, ("background",), language="en", loose=False).prompt for s in range(60)}
    loose = {edit(s, ("background",), language="en", loose=True).prompt for s in range(60)}
    assert "background" in min(plain) and not plain & loose
    assert all("{" not in text and "a orange" not in text for text in texts)


def test_numbers_in_an_instruction_follow_the_order_of_the_pictures():
    straight, turned = (
        edit_of_several(3, ("colour of 2",), language="en", order=order)
        for order in ((0, 1), (1, 0))
    )
    assert straight.target == turned.target and straight.sources == turned.sources[::-1]
    assert re.findall(r"\d", straight.prompt) == ["1", "2"]
    assert re.findall(r"\d", turned.prompt) == ["2", "1"]


def test_a_picture_of_another_size_is_refused():
    asked = edit(0)
    with pytest.raises(ValueError, match=r"^the picture must be \d+x\d+ pixels as its poster is"):
        judge(asked, asked.wanted[:-16])
