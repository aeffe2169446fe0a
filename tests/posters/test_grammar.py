"""The grammar of the captions: it holds every training caption and nothing else."""

import pytest

from qwenimage_ref.posters.captions import caption, loosened, reworded, without_background
from qwenimage_ref.posters.grammar import in_grammar, never_met
from qwenimage_ref.posters.scene import sample, sample_scene

SEEDS = range(1500)
EDITIONS = pytest.mark.parametrize("edition", [1, 2])


def training_caption(seed: int, edition: int) -> str:
    scene = sample_scene(seed) if edition == 1 else sample(seed)
    text = loosened(reworded(scene, seed, edition), seed)
    return without_background(text) if edition == 2 and seed % 9 == 0 else text


@EDITIONS
def test_every_training_caption_is_in_the_grammar(edition):
    texts = [training_caption(seed, edition) for seed in SEEDS]
    assert [text for text in texts if not in_grammar(text, edition)] == []


@EDITIONS
def test_every_word_of_a_training_caption_has_been_met(edition):
    assert [u for seed in SEEDS if (u := never_met(training_caption(seed, edition), edition))] == []


@EDITIONS
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_caption_with_anything_more_is_not_in_the_grammar(edition, language):
    text = caption(sample_scene(3), language, edition=edition)
    assert in_grammar(text, edition)
    for other in (f"{text} today", f"今天{text}", text + text, text[:-1], f" {text}", f"{text}!"):
        assert not in_grammar(other, edition)


def test_only_the_second_edition_leaves_the_background_unsaid():
    assert not in_grammar("a large red circle") and in_grammar("a large red circle", 2)


def test_an_orange_shape_takes_an():
    assert in_grammar("a red star above an orange ring on a sky background")
    assert not in_grammar("a red star above a orange ring on a sky background")


@pytest.mark.parametrize(
    "prompt, edition, unmet",
    [
        ("a Fluffy red cat, a cat", 1, ["Fluffy", "cat"]),
        ("three red circles", 1, ["three", "circles"]),
        ("three red circles, 5 stars", 2, ["5"]),
        ("红色的月亮在天空", 1, ["月亮", "天空"]),
        ("红圆形", 1, ["红"]),
        ('with the text "AB12"', 1, []),
        ('with the text "Hello" and “TOOLONG”', 1, ["and", '"Hello"', '"TOOLONG"']),
        ("文字“中山”", 1, ['"中山"']),
        ("文字“中山”", 2, []),
        ("été ひらがな", 1, ["été", "ひらがな"]),
    ],
)
def test_the_words_that_no_caption_has_are_named_once(prompt, edition, unmet):
    assert never_met(prompt, edition) == unmet
