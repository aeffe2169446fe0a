"""The second edition's world: sizes, counts, Chinese characters; and the first one as it was."""

import dataclasses
import hashlib
import itertools
import random
import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from qwenimage_ref.posters import strokes, writing
from qwenimage_ref.posters.captions import caption, loosened, reworded, without_background
from qwenimage_ref.posters.draw import draw, poster, second_poster
from qwenimage_ref.posters.read import read, score
from qwenimage_ref.posters.scene import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    LOW,
    SEVERAL,
    SHAPES,
    SIZES,
    SMALL,
    UNSEEN_COUNTS,
    UNSEEN_PAPERS,
    Mixture,
    Scene,
    Shape,
    sample,
)

PIXELS, TEXTS = "adfb13955ddbda02", "e742d31e4fb43501"
RED_CIRCLE = Shape("circle", "red")
WORDED = Mixture(words=1.0, chinese=0.5)
by_size = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")


# --- the first edition


def test_the_posters_of_the_first_edition_are_still_the_same_bits():
    pixels, texts = hashlib.sha256(), hashlib.sha256()
    for seed in range(200):
        scene, picture, text = poster(seed, None, 0.7)
        pixels.update(picture.tobytes())
        shown = (scene.background, tuple(map(str, scene.shapes)), scene.layout, scene.word)
        texts.update((repr(shown) + text + loosened(text, seed)).encode())
    assert texts.hexdigest()[:16] == TEXTS
    assert pixels.hexdigest()[:16] == PIXELS  # of Pillow 12 with the font of matplotlib 3


# --- scenes


def test_the_seven_sizes_have_sixty_to_seventy_tokens():
    assert len(set(SIZES)) == 7
    assert all(60 <= (w // 16) * (h // 16) <= 70 and w % 16 == h % 16 == 0 for w, h in SIZES)


def test_random_scenes_have_everything_in_its_share():
    scenes = [sample(seed, Mixture(counting=0.25, words=0.8, chinese=0.5)) for seed in range(3000)]
    words = [scene.word for scene in scenes if scene.word]
    chinese = [word for word in words if writing.is_chinese(word)]
    assert {scene.size for scene in scenes} == set(SIZES)
    assert {len(s.shapes) for s in scenes if s.layout == SEVERAL} == set(COUNTS)
    assert 0.2 < sum(scene.layout == SEVERAL for scene in scenes) / 3000 < 0.3
    assert 0.7 < len(words) / 3000 < 0.8  # some low posters have no room for theirs
    assert 0.45 < len(chinese) / len(words) < 0.6
    assert set("".join(chinese)) == set(strokes.CHARACTERS)
    assert {len(word) for word in chinese} == {1, 2, 3}


def test_navy_comes_twice_as_often_in_training():
    papers = [sample(seed, Mixture()).background for seed in range(3000)]
    assert 2 / 7 - 0.03 < papers.count("navy") / 3000 < 2 / 7 + 0.03


def test_characters_come_as_often_as_their_level_says():
    mixture = Mixture(words=1.0, chinese=1.0, levels=(1.0, 0.1, 0.01))
    shown = "".join(sample(seed, mixture).word for seed in range(4000))
    counts = [sum(map(shown.count, level)) / len(shown) for level in strokes.LEVELS]
    assert counts == pytest.approx([0.9, 0.09, 0.009], rel=0.25)


def test_a_scene_of_an_asked_size_has_that_size():
    assert {sample(seed, size=(96, 176)).size for seed in range(50)} == {(96, 176)}


def test_training_never_shows_an_unseen_combination():
    for seed in range(3000):
        scene = sample(seed, WORDED)
        assert not scene.unseen
        if scene.layout == SEVERAL:
            assert (len(scene.shapes), scene.shapes[0].name) not in UNSEEN_COUNTS
        assert not {(character, scene.background) for character in scene.word} & UNSEEN_PAPERS


def test_unseen_scenes_are_of_every_kind():
    scenes = [sample(seed, WORDED, unseen=True) for seed in range(400)]
    assert all(scene.unseen for scene in scenes)
    counted = {(len(s.shapes), s.shapes[0].name) for s in scenes if s.layout == SEVERAL}
    assert counted >= UNSEEN_COUNTS
    papers = {(c, scene.background) for scene in scenes for c in scene.word}
    assert papers >= UNSEEN_PAPERS


def test_every_word_fits_its_poster_with_a_margin():
    for seed in range(1500):
        scene = sample(seed, WORDED)
        assert writing.width(scene.word) <= scene.size[0] - 2 * writing.EDGE


def test_no_pair_of_letters_is_wider_than_two_of_the_widest():
    pairs = map("".join, itertools.product(writing.LETTERS, repeat=2))
    assert max(map(writing.width, pairs)) <= 2 * writing.widest()


def test_a_low_poster_has_no_word_under_two_stacked_shapes():
    scenes = [sample(seed, WORDED) for seed in range(2000)]
    low = [s for s in scenes if s.layout == "above" and s.size[1] < LOW]
    assert low and not any(scene.word for scene in low)


# --- characters


def test_the_three_levels_hold_24_different_characters_equally_complicated():
    assert [len(level) for level in strokes.LEVELS] == [8, 8, 8]
    assert len(set(strokes.CHARACTERS)) == 24 and set(strokes.STROKES) == set(strokes.CHARACTERS)
    means = [sum(len(strokes.STROKES[c]) for c in level) / 8 for level in strokes.LEVELS]
    assert max(means) - min(means) < 0.6
    assert strokes.level_of("大") == 0 and strokes.level_of("一") == 2


def drawn(character: str) -> np.ndarray:
    canvas = Image.new("L", (32 * 4, 32 * 4))
    strokes.draw_character(ImageDraw.Draw(canvas), character, 4, 4, 255, 4)
    return np.asarray(canvas.reduce(4)) / 255


def test_no_character_leaves_its_cell():
    for character in strokes.CHARACTERS:
        ink = drawn(character)
        assert ink[4:28, 4:28].sum() > 0.995 * ink.sum(), character


def test_any_two_characters_differ_in_a_tenth_of_their_ink():
    inks = {character: drawn(character) for character in strokes.CHARACTERS}
    for a, b in itertools.combinations(strokes.CHARACTERS, 2):
        apart = ((inks[a] - inks[b]) ** 2).sum()
        assert apart > 0.1 * min((inks[a] ** 2).sum(), (inks[b] ** 2).sum()), a + b


# --- captions


COUNTED = Scene("white", (RED_CIRCLE,) * 3, SEVERAL)


def test_counts_are_said_in_both_languages():
    assert caption(COUNTED) == "three red circles on a white background"
    assert caption(COUNTED, "zh") == "白色背景上，三个红色圆形"
    two = dataclasses.replace(COUNTED, shapes=(RED_CIRCLE,) * 2, word="中山")
    assert caption(two) == 'two red circles on a white background with the text "中山"'
    assert caption(two, "zh") == "白色背景上，两个红色圆形，文字“中山”"


def test_a_shape_without_a_size_is_a_large_one_in_the_second_edition_only():
    scene = Scene("white", (RED_CIRCLE,), "large")
    worded = {caption(scene, "en", seed, edition=2) for seed in range(40)}
    assert worded == {f"a {size}red circle on a white background" for size in ("large ", "")}
    assert {caption(scene, "en", seed) for seed in range(40)} == {caption(scene)}


def every_scene():
    kinds = [Shape(name, colour) for name in SHAPES for colour in COLOURS]
    for shape, layout in itertools.product(kinds, ("large", "small left", "small right")):
        yield Scene("gray", (shape,), layout)
    for shape, count in itertools.product(kinds, COUNTS):
        yield Scene("gray", (shape,) * count, SEVERAL)
    for first, second in itertools.permutations(kinds[::5], 2):
        yield Scene("gray", (first, second), "above")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_caption_of_the_second_edition_has_two_meanings(language):
    meaning = {}
    for scene in every_scene():
        for seed in range(8):
            text = caption(scene, language, seed, edition=2)
            assert meaning.setdefault(text, scene) == scene


def test_a_caption_can_leave_the_background_open():
    assert without_background(caption(COUNTED)) == "three red circles"
    assert without_background(caption(COUNTED, "zh")) == "三个红色圆形"
    named = dataclasses.replace(COUNTED, background="sky", word="OK")
    assert without_background(caption(named)) == 'three red circles with the text "OK"'


def test_the_wordings_of_the_course_all_come_up():
    texts = [second_caption(seed) for seed in range(3000)]
    for wording in ("grey", "big", "centre", "over", "的上方", "在左边", "a red circle on", "3 "):
        assert any(wording in text for text in texts), wording
    assert any(text[0].isupper() for text in texts)
    assert {text[-1] for text in texts} >= {".", "。"}
    assert 0.28 < sum(bool(re.search("背景上", text)) for text in texts) / 3000 < 0.38


def second_caption(seed: int) -> str:
    scene = sample(seed, Mixture(words=0.2))
    return loosened(reworded(scene, seed, edition=2), seed)


# --- pictures, and the way back


@by_size
def test_a_poster_has_its_size_and_its_seed_s_bits(size):
    scene, picture, text = second_poster(7, size=size)
    assert scene.size == size and picture.shape == (size[1], size[0], 3)
    again = second_poster(7, size=size)
    assert (again[0], again[1].tobytes(), again[2]) == (scene, picture.tobytes(), text)


@by_size
def test_the_reader_reads_every_layout_in_every_size(size):
    for seed in range(30):
        scene = sample(f"layout {seed}", WORDED, unseen=None, size=size)
        assert read(draw(scene, seed)).scene == scene


@by_size
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_every_character_is_read_on_every_background(size, background):
    characters = list(strokes.CHARACTERS)
    random.Random(0).shuffle(characters)
    for i in range(0, 24, 3):
        word = "".join(characters[i : i + 3])
        scene = Scene(background, (RED_CIRCLE,), "small centre", word, size)
        assert read(draw(scene, i)).scene == scene


@by_size
def test_every_count_of_every_shape_is_read_wherever_it_stands(size):
    for name, count, word in itertools.product(SHAPES, COUNTS, ("", "中")):
        scene = Scene("mint", (Shape(name, "purple"),) * count, SEVERAL, word, size)
        assert read(draw(scene, count)).scene == scene


def test_several_shapes_stand_in_rows_columns_and_grids():
    scene = Scene("white", (RED_CIRCLE,) * 4, SEVERAL, size=(160, 112))
    stands = set()
    for seed in range(40):
        regions = read(draw(scene, seed)).regions
        columns = len({round(region.x / 30) for region in regions})
        stands.add("row" if columns > 2 else "grid")
    assert stands == {"row", "grid"}


def test_a_picture_of_the_first_phase_is_read_too():
    scene = Scene("sky", (RED_CIRCLE, Shape("star", "yellow")), "left of", size=SMALL)
    assert read(draw(scene, 1)).scene == scene


@pytest.mark.parametrize("word, other", [("日", "口"), ("大", "天"), ("木", "米"), ("王", "土"),
                                         ("中山", "山中"), ("三", "二"), ("上", "下")])  # fmt: skip
def test_one_character_for_another_is_a_wrong_word(word, other):
    asked = Scene("navy", (RED_CIRCLE,), "large", word, (144, 112))
    result = score(asked, draw(dataclasses.replace(asked, word=other), 3))
    assert result["scene"] and not result["word"]


@pytest.mark.parametrize("painted", [2, 4])
def test_another_count_is_wrong_in_count_and_scene(painted):
    picture = draw(dataclasses.replace(COUNTED, shapes=(RED_CIRCLE,) * painted), 1)
    result = score(COUNTED, picture)
    assert result["background"] and not result["count"] and not result["scene"]


def test_one_of_several_in_another_colour_or_shape_is_wrong():
    for other, field in ((Shape("circle", "blue"), "colours"), (Shape("ring", "red"), "shapes")):
        painted = dataclasses.replace(COUNTED, shapes=(RED_CIRCLE, RED_CIRCLE, other))
        result = score(COUNTED, draw(painted, 2))
        assert result["count"] and not result[field] and not result["scene"]


def test_two_equal_shapes_still_have_a_relation_where_one_was_asked_for():
    asked = Scene("white", (RED_CIRCLE, Shape("circle", "blue")), "left of")
    painted = dataclasses.replace(asked, shapes=(RED_CIRCLE, RED_CIRCLE))
    result = score(asked, draw(painted, 0))
    assert result["layout"] and not result["colours"]


def test_two_of_a_kind_are_right_side_by_side_and_one_above_the_other():
    asked = Scene("white", (RED_CIRCLE,) * 2, SEVERAL)
    for layout in ("left of", "above"):
        assert score(asked, draw(dataclasses.replace(asked, layout=layout), 0))["scene"]
