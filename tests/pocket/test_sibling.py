"""The sibling: the same classes, small; its shipped middle is a place from which to go on."""

import dataclasses
import json
import statistics

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.pocket import sibling, train
from qwenimage_ref.pocket.lessons import LESSONS
from qwenimage_ref.tokenizer import Tokenizer

POCKET = sibling.DATA / "pocket"


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(POCKET / "tokenizer")


@pytest.fixture(scope="module")
def latents():
    """Stand-ins: as many and as large, of unit variance, and quicker than encoding posters."""
    count = sibling.EXERCISE.posters
    return torch.randn(count, 16, 16, 16, generator=torch.Generator().manual_seed(0))


def flat(painter) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in painter.parameters()])


def test_the_sibling_is_the_painter_with_smaller_numbers():
    small, large = sibling.new(), train.Painter()
    assert {type(m) for m in small.modules()} == {type(m) for m in large.modules()}
    assert 5 * flat(small).numel() < flat(large).numel()


def test_its_posters_are_none_of_the_painter_s_and_have_no_word():
    own = range(sibling.LESSON.first, sibling.LESSON.first + sibling.LESSON.posters)
    for lesson in LESSONS.values():
        assert not {*own} & {*range(lesson.first, lesson.first + lesson.posters)}
    assert max(own) < train.TEST_SEED
    assert not any(sibling.EXERCISE.scene(n).word for n in range(sibling.EXERCISE.posters))


def test_the_same_seed_takes_the_same_steps_and_another_seed_others(tokenizer, latents):
    def ends(seed):
        painter = sibling.load_mid()
        losses = sibling.go_on(painter, tokenizer, latents, steps=2, seed=seed)
        return losses, flat(painter)

    first, again, other = ends(0), ends(0), ends(1)
    assert len(first[0]) == 2
    assert first[0] == again[0] and torch.equal(first[1], again[1])
    assert first[0] != other[0]


def test_the_exercise_s_posters_come_round_again(tokenizer, latents):
    recipe = dataclasses.replace(sibling.EXERCISE.recipe, batch=sibling.EXERCISE.posters)
    lesson = dataclasses.replace(sibling.EXERCISE, recipe=recipe)
    data = [train.batch(lesson, latents, tokenizer, step)[2] for step in (0, 1)]
    assert torch.equal(*data) and torch.equal(data[0], latents)


def test_a_pipeline_paints_with_the_painter_it_was_given():
    pipe, painter = QwenImage.from_pretrained(POCKET), sibling.load_mid()
    small = sibling.pipeline(pipe, painter)
    options = {"negative_prompt": " ", "num_inference_steps": 2, "seed": 0}
    pictures = [one("a large red circle", **options)[0] for one in (pipe, small)]
    assert small.transformer is painter.transformer and small.vae is pipe.vae
    assert pictures[0].size == pictures[1].size == (128, 128)
    assert pictures[0].tobytes() != pictures[1].tobytes()


# ---- what is shipped


def test_the_middle_is_the_lesson_stopped_before_its_rates_fall(tokenizer, tmp_path, monkeypatch):
    assert sibling.TAKEN < sibling.LESSON.recipe.decay_from * sibling.LESSON.recipe.steps
    recipe = dataclasses.replace(sibling.LESSON.recipe, batch=4)
    lesson = dataclasses.replace(sibling.LESSON, recipe=recipe, posters=8)
    monkeypatch.setattr(sibling, "LESSON", lesson)
    monkeypatch.setattr(sibling, "TAKEN", 2)
    monkeypatch.setattr(train, "CHUNK", 8)
    pipe = QwenImage.from_pretrained(POCKET)
    once = flat(sibling.middle(pipe, tmp_path))
    assert not torch.equal(once, flat(sibling.new()))
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 2
    assert torch.equal(flat(sibling.middle(pipe, tmp_path)), once)  # nothing is trained twice


def test_the_shipped_middle_is_at_most_8_megabytes():
    assert sum(f.stat().st_size for f in sibling.MID.iterdir()) <= 8e6


def test_the_middle_has_learned_and_has_more_to_learn(tokenizer):
    band = json.loads(sibling.BAND.read_text(encoding="utf-8"))
    pipe = QwenImage.from_pretrained(POCKET)
    recipe = dataclasses.replace(sibling.EXERCISE.recipe, batch=64)
    lesson = dataclasses.replace(sibling.EXERCISE, recipe=recipe)
    latents = train.encode_posters(pipe.vae, lesson, range(64))
    drawn = train.batch(lesson, latents, tokenizer, 0)
    with torch.no_grad():
        now = sibling.loss_of(sibling.load_mid(), tokenizer.prefix_length, *drawn).item()
    assert band["high"] < now < 1  # an untrained one: 2


def test_the_stored_band_is_four_deviations_of_its_own_numbers():
    band = json.loads(sibling.BAND.read_text(encoding="utf-8"))
    mean, deviation = statistics.fmean(band["means"]), statistics.stdev(band["means"])
    assert len(band["means"]) == sibling.SEEDS
    assert band["low"] == pytest.approx(mean - 4 * deviation, abs=1e-4)
    assert band["high"] == pytest.approx(mean + 4 * deviation, abs=1e-4)
