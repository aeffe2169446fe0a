"""The reader as a reward: every caption of the grammar is understood, and every share counted."""

import dataclasses
import hashlib
import importlib
import sys

import pytest
from PIL import Image

from qwenimage_ref.posters.captions import caption, loosened, reworded
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.posters.reward import reward, source_of, word_or_count
from qwenimage_ref.posters.rewriting import scene_of
from qwenimage_ref.posters.scene import SQUARE, Mixture, Scene, Shape, sample

SCENE = Scene("white", (Shape("circle", "red"),), "large", "AB")
PROMPT = caption(SCENE)


def picture(scene: Scene) -> Image.Image:
    return Image.fromarray(draw(scene, 0))


def test_the_scene_of_every_caption_is_the_one_that_it_was_written_for():
    for seed in range(60):
        scene = sample(seed, Mixture(words=0.8, chinese=0.5))
        square = dataclasses.replace(scene, size=SQUARE)
        plain = [caption(scene, language, edition=2) for language in ("en", "zh")]
        for text in (*plain, loosened(reworded(scene, seed, edition=2), seed)):
            assert scene_of(text) == square


@pytest.mark.parametrize(
    "changes, lost",
    [
        ({}, 0),
        ({"background": "mint"}, 1),
        ({"shapes": (Shape("circle", "blue"),)}, 1),
        ({"shapes": (Shape("star", "blue"),)}, 2),
        ({"word": "AC"}, 0.5),
        ({"word": ""}, 1),
        ({"word": "ABAB"}, 0.5),
    ],
)
def test_a_reward_falls_by_a_sixth_for_each_question_that_is_missed(changes, lost):
    (value,) = reward([picture(dataclasses.replace(SCENE, **changes))], PROMPT)
    assert value == pytest.approx(1 - lost / 6)


def test_a_caption_without_a_word_asks_that_there_be_none():
    silent = dataclasses.replace(SCENE, word="")
    both = reward([picture(silent), picture(SCENE)], caption(silent))
    assert both == pytest.approx([1, 5 / 6])


@pytest.mark.parametrize(
    "changes, value",
    [({}, 1), ({"word": "AC"}, 0.5), ({"background": "mint"}, 1), ({"word": ""}, 0)],
)
def test_the_reward_of_the_word_looks_at_nothing_else(changes, value):
    assert word_or_count([picture(dataclasses.replace(SCENE, **changes))], PROMPT) == [value]


def test_without_a_word_the_same_reward_counts_the_shapes():
    three = Scene("white", (Shape("star", "red"),) * 3, "several")
    two = dataclasses.replace(three, shapes=three.shapes[:2])
    pictures = [
        picture(three),
        picture(dataclasses.replace(three, background="mint")),
        picture(two),
    ]
    assert word_or_count(pictures, caption(three, edition=2)) == [1, 1, 0]


def test_a_prompt_without_a_shape_is_refused():
    with pytest.raises(ValueError, match="must name a shape, got 'a cat'"):
        reward([picture(SCENE)], "a cat")


def test_another_body_of_a_reward_of_the_same_name_has_another_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sources = []
    for number in (1, 2, 1):
        monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
        importlib.invalidate_caches()
        text = f"def mine(pictures, prompt):\n    return [{number}.0] * len(pictures)\n"
        (tmp_path / "my_rewards.py").write_text(text)
        sources.append(source_of("my_rewards:mine"))
    assert sources[0] == sources[2] != sources[1] and all(map(len, sources))
    assert source_of("posters") == ""


def test_a_reward_that_is_no_function_with_a_source_is_known_by_its_modules_file(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    text = "class Mine:\n    def __call__(self, pictures, prompt):\n        pass\nmine = Mine()\n"
    (tmp_path / "my_objects.py").write_text(text)
    assert source_of("my_objects:mine") == hashlib.sha256(text.encode()).hexdigest()[:12]
    assert source_of("time:time") == ""  # compiled into Python itself
