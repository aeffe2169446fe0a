"""Causal tracing: captions, the tokens that are hidden, and the record."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.evaluate import causal_tracing, spelling_lora, traced
from qwenimage_ref.evaluate.causal_tracing import ranked
from qwenimage_ref.evaluate.inside import text_tokens
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tokenizer import Tokenizer
from qwenimage_ref.train.loop import Recipe

every_kind = pytest.mark.parametrize("kind", traced.KINDS)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(POCKET / "tokenizer")


def posters(trials) -> list[Image.Image]:
    return [Image.fromarray(draw(trial.scene, trial.seed)) for trial in trials]


# -- captions and tokens


@every_kind
def test_captions_of_a_seed_are_its_own_and_no_noise_comes_twice(kind):
    trials = causal_tracing.of_all_seeds(traced.worded, 8, kind)
    assert len({trial.prompt for trial in trials}) == len({trial.seed for trial in trials}) == 24
    assert trials == causal_tracing.of_all_seeds(traced.worded, 8, kind)


@every_kind
def test_the_signs_of_a_word_are_the_word(kind, tokenizer):
    for trial in traced.worded(8, 0, kind):
        word = traced.word_tokens(tokenizer, trial)
        signs = [traced.sign_tokens(n)(tokenizer, trial) for n in range(len(trial.scene.word))]
        assert sorted({n for sign in signs for n in sign}) == word
        assert trial.scene.word in "".join(
            tokenizer.decode(tokenizer.encode_prompt(trial.prompt)[tokenizer.prefix_length :][n:])
            for n in word[:1]
        )


@every_kind
def test_as_many_other_tokens_are_others(kind, tokenizer):
    for trial in traced.worded(8, 0, kind):
        word = {*traced.word_tokens(tokenizer, trial)}
        others = {*traced.other_tokens(tokenizer, trial)}
        rest = {*traced.all_but_word(tokenizer, trial)}
        assert len(others) == len(word) and others <= rest and not rest & word
        assert len(rest | word) == len(text_tokens(tokenizer, trial.prompt))


@every_kind
def test_the_other_word_differs_in_every_sign_and_nothing_else(kind):
    for trial in traced.worded(8, 0, kind):
        other = traced.other_word(trial)
        assert all(a != b for a, b in zip(trial.scene.word, other.scene.word, strict=True))
        assert replace(other.scene, word=trial.scene.word) == trial.scene
        assert other.prompt == trial.prompt.replace(trial.scene.word, other.scene.word)
        assert other.seed == trial.seed != traced.other_noise(trial).seed


@pytest.mark.parametrize("name", traced.ATTRIBUTES)
def test_the_tokens_of_an_attribute_hold_its_word(name, tokenizer):
    captions, tokens, key = traced.ATTRIBUTES[name]
    for trial in captions(8, 0):
        scene, texts = trial.scene, text_tokens(tokenizer, trial.prompt)
        words = {
            "colour": scene.shapes[0].colour,
            "place": traced.PLACES.get(scene.layout),
            "background": scene.background,
            "count": traced.NUMBERS.get(len(scene.shapes)),
        }
        assert words[name] in "".join(texts[n] for n in tokens(tokenizer, trial))
        assert traced.score(scene, draw(scene, trial.seed))[key]


# -- counting


def test_shares_are_counted_over_all_and_seed_by_seed():
    trials = traced.worded(2, 0) + traced.worded(2, 1)
    pictures = posters(trials)
    pictures[3] = posters([traced.other_word(trials[3])])[0]
    row = traced.counted(traced.scores_of(trials, pictures), ("word", "scene"), seeds=2)
    assert (row["word"]["right"], row["word"]["of"], row["word"]["by_seed"]) == (3, 4, [2, 1])
    assert row["scene"]["share"] == 1 and row["signs"]["of"] == 12 and row["signs"]["right"] == 9
    assert [column["right"] for column in row["by_position"]] == [3, 3, 3]


def test_a_word_that_is_not_there_has_no_right_sign():
    (trial,) = traced.worded(1, 0)
    blank = Image.fromarray(np.full((128, 128, 3), 250, np.uint8))
    (score,) = traced.scores_of([trial], [blank])
    assert score["signs"] == [False] * 3


def test_the_first_block_is_the_one_without_which_fewest_signs_are_right():
    shares = {"none": 0.9, "0": 0.8, "1": 0.1, "2": 0.4, "all": 0.0}
    assert ranked({name: {"signs": {"share": x}} for name, x in shares.items()}) == [1, 2, 0]


# -- painting


def test_what_is_hidden_in_all_blocks_changes_pictures_and_nothing_hidden_does_not(monkeypatch):
    pipe = QwenImage.from_pretrained(POCKET)
    monkeypatch.setattr(traced, "STEPS", 2)
    trials = traced.worded(2, 0)
    plain, again = traced.paint(pipe, trials), traced.paint(pipe, trials, traced.untouched)
    assert all(np.array_equal(a, b) for a, b in zip(plain, again))
    blind = traced.paint(pipe, trials, traced.hidden(pipe, traced.word_tokens, range(8)))
    assert not any(np.array_equal(a, b) for a, b in zip(plain, blind))
    pairs = [(trial, trial) for trial in trials]
    same = traced.paint_patched(pipe, pairs, 0)
    levels = [np.abs(np.int16(a) - np.int16(b)).max() for a, b in zip(plain, same)]
    assert max(levels) <= 2, "its own word put in from its own noise is no change"


# -- the record


@pytest.fixture
def drawn(monkeypatch) -> list[int]:
    """Posters are drawn instead of painted; -> how many, setting by setting"""
    counts = []

    def paint(pipe, trials, within=traced.untouched):
        counts.append(len(trials))
        return posters(trials)

    for module in (traced, causal_tracing, spelling_lora):
        monkeypatch.setattr(module, "paint", paint)
    monkeypatch.setattr(spelling_lora, "RECIPE", Recipe(steps=1, batch=2, lr=1e-3))
    monkeypatch.setattr(spelling_lora, "LESSONS", 2)
    monkeypatch.setattr(spelling_lora, "QUESTIONS", 2)
    return counts


def test_the_command_writes_every_part_and_resumes(drawn, tmp_path, capsys):
    file = tmp_path / "causal_tracing.json"
    progress = file.with_suffix(".progress")
    assert causal_tracing.main(["--captions", "1", "--to", str(file)]) == 0
    record = json.loads(file.read_text())
    settings = len(drawn)
    assert not progress.exists() and record["captions"] == 1 and record["seeds"] == [0, 1, 2]
    assert sorted(record["ranked"]) == list(range(8))
    for kind in (traced.LATIN, traced.CHINESE):
        assert record[f"blocks, {kind}"]["all"]["word"]["of"] == 3
    assert record["patches"]["0"]["other word"]["right"] == 0
    assert record["lora"]["none"]["old signs"]["share"] == 1
    assert "Chinese characters: words right" in capsys.readouterr().out
    # an interrupted run has all parts but the last
    parts = ("lora", "steps", "seeds", "ranked", "machine", "versions", "commit", "command")
    progress.write_text(json.dumps({k: v for k, v in record.items() if k not in parts}))
    drawn.clear()
    causal_tracing.main(["--captions", "1", "--to", str(file)])
    assert len(drawn) == 3 < settings, "the questions without and with two adapters alone"


def test_no_captions_are_refused(capsys):
    with pytest.raises(SystemExit):
        causal_tracing.main(["--captions", "0"])
    assert "--captions must be at least 1, got 0" in capsys.readouterr().err


# -- the LoRA


def test_the_cipher_exchanges_every_sign_and_leaves_the_scene():
    for trial, shown in spelling_lora.ciphered(0, 20):
        pairs = list(zip(trial.scene.word, shown.word, strict=True))
        assert all(a != b and {a, b} <= {*spelling_lora.SIGNS} for a, b in pairs)
        assert replace(shown, word=trial.scene.word) == trial.scene
    assert {*spelling_lora.SIGNS.translate(spelling_lora.NEXT)} == {*spelling_lora.SIGNS}


def test_an_adapter_on_two_blocks_moves_them_alone_and_is_taken_off_again():
    pipe = QwenImage.from_pretrained(POCKET)
    lessons = spelling_lora.examples(pipe, spelling_lora.ciphered(0, 2))
    recipe = Recipe(steps=2, batch=2, lr=1e-2)
    with spelling_lora.trained(pipe, lessons, [2, 5], recipe) as adapter:
        names = adapter.named_pairs()
        assert {name.split(".")[1] for name in names} == {"2", "5"}
        assert any(bool(pair.lora_B.any()) for pair in names.values())
        assert not any("_mod" in name for name in names)
    assert spelling_lora.lora.adapters(pipe.transformer) == []
