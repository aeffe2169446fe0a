"""Styles: which are held out, how a scene looks in one, and how a picture is judged."""

import dataclasses

import numpy as np
import pytest

from qwenimage_ref.posters.draw import draw, poster
from qwenimage_ref.posters.read import read
from qwenimage_ref.posters.scene import BACKGROUNDS, COLOURS, Scene, Shape
from qwenimage_ref.posters.styles import (
    ALL,
    UNSEEN_STYLES,
    Style,
    judge,
    sample_style,
    styled,
    styled_poster,
)

TWO = Scene("white", (Shape("star", "red"), Shape("ring", "blue")), "left of", "AB")
EQUAL = Scene("gray", (Shape("star", "red"), Shape("star", "blue")), "above")
STYLE = Style("mint", "purple")


def test_a_quarter_of_the_styles_is_held_out_and_every_colour_and_paper_is_trained():
    trained = [style for style in ALL if not style.unseen]
    assert len(ALL) == len(set(ALL)) == 48 and len(trained) == 36
    assert set(ALL) - set(trained) == set(UNSEEN_STYLES)
    assert {style.paper for style in trained} == {s.paper for s in UNSEEN_STYLES} == {*BACKGROUNDS}
    assert {style.colour for style in trained} == {s.colour for s in UNSEEN_STYLES} == {*COLOURS}


@pytest.mark.parametrize("unseen", [False, True])
def test_a_sampled_style_is_of_the_kind_that_is_asked_for_and_all_of_them_come(unseen):
    styles = [sample_style(seed, unseen) for seed in range(400)]
    assert {style.unseen for style in styles} == {unseen}
    assert set(styles) == {style for style in ALL if style.unseen == unseen}
    assert sample_style(3, unseen) == styles[3]
    assert {sample_style(seed, None).unseen for seed in range(40)} == {False, True}


def test_a_style_changes_colours_and_paper_and_nothing_else():
    assert styled(STYLE, TWO) == dataclasses.replace(
        TWO, background="mint", shapes=(Shape("star", "purple"), Shape("ring", "purple"))
    )


def test_a_styled_poster_has_the_scene_and_caption_of_the_plain_one_and_its_places():
    for seed in range(6):
        scene, picture, caption = styled_poster(STYLE, seed)
        plain_scene, plain, plain_caption = poster(seed)
        assert (scene, caption) == (plain_scene, plain_caption)
        spots, plain_spots = (
            np.array([(region.x, region.y, region.radius) for region in read(each).regions])
            for each in (picture, plain)
        )
        np.testing.assert_allclose(spots, plain_spots, atol=1)


def test_every_style_is_read_back_from_any_poster():
    for number, style in enumerate(ALL):
        for seed in (number, 1000 + number):
            scene, picture, _ = styled_poster(style, seed, unseen=None)
            assert all(judge(style, scene, picture).values()), (style, scene)


def test_two_shapes_of_one_name_become_equal_and_their_relation_is_read():
    picture = draw(styled(STYLE, EQUAL))
    assert all(judge(STYLE, EQUAL, picture).values())
    beside = dataclasses.replace(EQUAL, layout="left of")
    assert not judge(STYLE, beside, picture)["scene"]


@pytest.mark.parametrize(
    "change, wrong",
    [
        ({}, set()),
        ({"background": "sky"}, {"paper", "style"}),
        ({"shapes": (Shape("star", "purple"), Shape("ring", "blue"))}, {"colour", "style"}),
        ({"shapes": (Shape("star", "purple"), Shape("circle", "purple"))}, {"scene"}),
        ({"shapes": (Shape("ring", "purple"), Shape("star", "purple"))}, {"scene"}),
        ({"shapes": (Shape("ring", "purple"),), "layout": "large"}, {"scene"}),
        ({"shapes": ()}, {"colour", "style", "scene"}),
        ({"layout": "above"}, {"scene"}),
        ({"word": "AC"}, {"scene"}),
    ],
)
def test_a_picture_is_judged_part_by_part(change, wrong):
    picture = draw(dataclasses.replace(styled(STYLE, TWO), **change))
    judged = judge(STYLE, TWO, picture)
    assert {key for key, right in judged.items() if not right} == wrong


def test_the_plain_poster_is_right_but_for_its_style():
    assert judge(STYLE, TWO, draw(TWO)) == {
        "paper": False, "colour": False, "style": False, "scene": True,
    }  # fmt: skip
