"""The second edition's training: its phases, its control, and the whole recipe in miniature."""

import dataclasses
import json

import pytest
import torch

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.pocket import curriculum, editions, sibling, train
from qwenimage_ref.pocket.lessons import LESSONS
from qwenimage_ref.posters import strokes, writing
from qwenimage_ref.posters.scene import SEVERAL, SIZES, SMALL, SQUARE
from qwenimage_ref.tokenizer import Tokenizer
from qwenimage_ref.vae import VAE

SHAPES, WORDS, EVERYTHING = (curriculum.PHASES[x] for x in ("shapes", "words", "everything"))
CONTROL = curriculum.CONTROL["control"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return editions.second().tokenizer()


# --- the phases


def test_the_phases_go_from_small_and_wordless_to_all_there_is():
    phases = (SHAPES, WORDS, EVERYTHING)
    small, square, all_sizes = ([x.scene(n) for n in range(0, 32_768, 31)] for x in phases)
    assert {scene.size for scene in small} == {SMALL} and not any(s.word for s in small)
    assert {scene.size for scene in square} == {SQUARE}
    assert {len(scene.word) for scene in square} == {0, 1, 2}
    assert not any(map(writing.is_chinese, (scene.word for scene in square)))
    assert {scene.size for scene in all_sizes} == set(SIZES)
    words = [scene.word for scene in all_sizes]
    assert any(map(writing.is_chinese, words)) and max(map(len, words)) == 4
    assert all(any(s.layout == SEVERAL for s in scenes) for scenes in (small, square, all_sizes))


@pytest.mark.parametrize("phase", [*curriculum.PHASES.values(), CONTROL])
def test_the_posters_of_a_batch_have_one_size(phase):
    batch = phase.recipe.batch
    for first in range(0, 20 * batch, batch):
        assert len({phase.size(n) for n in range(first, first + batch)}) == 1
    assert phase.posters % batch == phase.posters % train.CHUNK == train.CHUNK % batch == 0


def test_no_two_phases_nor_editions_share_a_poster_and_none_is_a_test_s():
    lessons = [*curriculum.PHASES.values(), *LESSONS.values(), sibling.LESSON]
    ranges = sorted((lesson.first, lesson.first + lesson.posters) for lesson in lessons)
    assert all(end <= start for (_, end), (start, _) in zip(ranges, ranges[1:]))
    assert max(end for _, end in ranges) < train.TEST_SEED


def test_only_the_last_phase_lets_its_rates_fall():
    recipes = [phase.recipe for phase in curriculum.PHASES.values()]
    ends = [recipe.lr_at(recipe.steps - 1) / recipe.lr for recipe in recipes]
    assert ends[:2] == [1.0, 1.0] and ends[2] < 0.001


def test_the_control_passes_as_many_tokens_and_only_the_last_mixture():
    spent = sum(map(curriculum.work, curriculum.PHASES.values()))
    assert curriculum.work(CONTROL) == pytest.approx(spent, rel=1e-3)
    assert CONTROL.mixture == EVERYTHING.mixture
    falling = CONTROL.recipe.steps * (1 - CONTROL.recipe.decay_from)
    assert falling == pytest.approx(EVERYTHING.recipe.steps * 0.7, rel=0.01)


def test_a_poster_keeps_scene_and_size_and_is_worded_anew_in_the_next_epoch():
    later = EVERYTHING.posters
    assert [EVERYTHING.scene(n) for n in range(5)] == [
        EVERYTHING.scene(n + later) for n in range(5)
    ]
    first, second = ([EVERYTHING.prompt(n + i) for n in range(9)] for i in (0, later))
    assert first != second


def test_a_few_captions_leave_the_background_open():
    texts = [EVERYTHING.prompt(n) for n in range(3000)]
    unsaid = [text for text in texts if "background" not in text and "背景" not in text]
    assert 0.02 < len(unsaid) / len(texts) < 0.06


def test_no_phase_trains_an_unseen_combination():
    for phase in curriculum.PHASES.values():
        assert not any(phase.scene(n).unseen for n in range(1000))


def test_trained_scenes_are_compared_without_their_size(monkeypatch):
    few = tuple(dataclasses.replace(x, posters=64) for x in curriculum.PHASES.values())
    trained = curriculum.trained_scenes(few)
    assert {scene.size for scene in trained} == {SQUARE}
    assert dataclasses.replace(few[2].scene(5), size=SQUARE) in trained


# --- the tokenizer


def test_every_letter_and_character_of_a_word_is_one_token(tokenizer):
    for word in ("QWEN", "A1B2", "THE", "大中山", "火一米", "王田"):
        assert len(tokenizer.encode(word)) == len(word)
    assert all(len(tokenizer.encode(c)) == 1 for c in strokes.CHARACTERS + writing.LETTERS)


def test_its_template_takes_the_34_tokens_that_diffusers_drops(tokenizer):
    assert tokenizer.prefix_length == 34


def test_the_text_tower_has_a_vector_for_every_token(tokenizer):
    config = editions.second().configs[0]
    assert config.vocab_size >= len(tokenizer.vocab) + len(tokenizer.added)
    assert config.image_token_id == tokenizer.added["<|image_pad|>"]


# --- training, in miniature


@pytest.fixture
def small(monkeypatch, tokenizer):
    """The same training of a very small painter on a handful of posters, four a step."""
    monkeypatch.setattr(train, "CHUNK", 8)
    monkeypatch.setattr(train, "MEASURED", 32)
    for phases in (curriculum.PHASES, curriculum.CONTROL):
        for name, phase in phases.items():
            recipe = dataclasses.replace(phase.recipe, batch=4, warmup=2)
            phase = dataclasses.replace(phase, posters=16, recipe=recipe)
            monkeypatch.setitem(phases, name, phase)
    vae_recipe = dataclasses.replace(curriculum.SECOND_VAE, batch=4)
    monkeypatch.setattr(curriculum, "SECOND_VAE", vae_recipe)
    text = dataclasses.replace(sibling.TEXT, num_hidden_layers=1)
    monkeypatch.setattr(train, "POCKET_TEXT", text)
    monkeypatch.setattr(train, "POCKET_MMDIT", dataclasses.replace(sibling.MMDIT, num_layers=1))
    monkeypatch.setattr(train, "train_tokenizer", lambda *_: tokenizer)


def command(folder, steps: int = 3, *more: str) -> list[str]:
    return [
        *("train", "pocket", "--edition", "2", "--runs", str(folder / "runs")),
        *("--to", str(folder / "out"), "--vae-steps", "2", "--steps", str(steps), *more),
    ]


def test_latents_of_all_sizes_are_encoded_once_and_read_back(tmp_path, small):
    torch.manual_seed(0)
    vae, phase = VAE(train.POCKET_VAE), curriculum.PHASES["everything"]
    latents = train.Latents(vae, phase, tmp_path)
    again = train.Latents(None, phase, tmp_path)  # it must not encode
    for first in range(0, 16, 4):
        width, height = phase.size(first)
        z = latents[range(first, first + 4)]
        assert z.shape == (4, 16, height // 8, width // 8)
        assert torch.equal(z, again[range(first, first + 4)])


def test_the_train_command_teaches_every_phase_and_writes_a_model_of_many_sizes(tmp_path, small):
    assert cli.main(command(tmp_path)) == 0
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert list(record["logs"]) == ["everything", "shapes", "vae", "words"]
    assert record["lessons"]["everything"]["mixture"]["levels"] == [1.0, 0.1, 0.01]
    pipe = QwenImage.from_pretrained(tmp_path / "out")
    picture = pipe("three red circles", " ", height=96, width=176, num_inference_steps=2, seed=0)[0]
    assert picture.size == (176, 96)
    # a state of the first edition's VAE is another one's
    first = [*("train", "pocket", "--edition", "1", "--runs", str(tmp_path / "runs"))]
    first += ["--vae-steps", "2"]
    assert cli.main([*first, "--to", str(tmp_path / "first")]) == 2


def test_a_phase_goes_on_bit_for_bit_where_it_was_stopped(tmp_path, small, tokenizer):
    torch.manual_seed(0)
    vae, phase = VAE(train.POCKET_VAE), curriculum.PHASES["everything"]
    phase = dataclasses.replace(phase, recipe=dataclasses.replace(phase.recipe, steps=4))
    configs = editions.second().configs

    def weights(folder, *stops):
        for until in stops:
            painter = train.train_painter(
                vae, tokenizer, folder, phase, configs=configs, until=until
            )
        return torch.cat([p.detach().flatten() for p in painter.parameters()])

    assert torch.equal(weights(tmp_path / "a", 4), weights(tmp_path / "b", 2, 4))


def test_the_control_is_one_lesson_on_the_same_vae(tmp_path, small, capsys):
    assert cli.main(command(tmp_path, 2, "--control")) == 0
    assert sorted(x.name for x in (tmp_path / "runs").iterdir()) == ["control", "vae"]
    assert (
        cli.main(["train", "pocket", "--edition", "1", "--control", "--to", str(tmp_path / "no")])
        == 2
    )
    assert "--control must go with --edition 2" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert cli.main(command(tmp_path, 3, "--device", "cuda")) == 2
    assert "--device must be available here, got cuda" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
