"""Training the pocket model from nothing, in miniature, and how good the shipped one is."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.evaluate.score import trials
from qwenimage_ref.pictures import psnr
from qwenimage_ref.pocket import editions, lessons, sibling, train
from qwenimage_ref.posters.draw import Scene, Shape, caption, loosened
from qwenimage_ref.tokenizer import Tokenizer
from qwenimage_ref.vae import VAE

PAINTER, SPELLER = lessons.LESSONS["painter"], lessons.LESSONS["speller"]
POCKET = Path(__file__).parents[2] / "data" / "pocket"


def with_recipe(lesson, **changed):
    recipe = dataclasses.replace(lesson.recipe, **changed)
    return dataclasses.replace(lesson, recipe=recipe)


@pytest.fixture
def small(monkeypatch):
    """The same training of a very small painter on a handful of posters, four a step."""
    monkeypatch.setattr(train, "CHUNK", 8)
    monkeypatch.setattr(train, "MEASURED", 32)
    for name, lesson in lessons.LESSONS.items():
        short = dataclasses.replace(with_recipe(lesson, batch=4, warmup=2), posters=16)
        monkeypatch.setitem(lessons.LESSONS, name, short)
    vae_recipe = dataclasses.replace(train.VAE_RECIPE, batch=4)
    monkeypatch.setattr(train, "VAE_RECIPE", vae_recipe)
    text = dataclasses.replace(sibling.TEXT, num_hidden_layers=1)
    monkeypatch.setattr(train, "POCKET_TEXT", text)
    monkeypatch.setattr(train, "POCKET_MMDIT", dataclasses.replace(sibling.MMDIT, num_layers=1))
    # the same one, as a test of its own says, without the seconds that it takes to train
    shipped = Tokenizer.load(POCKET / "tokenizer")
    monkeypatch.setattr(train, "train_tokenizer", lambda: shipped)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(POCKET / "tokenizer")


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VAE(train.POCKET_VAE)


def test_the_shipped_tokenizer_is_the_one_that_training_makes(tokenizer):
    assert editions.second().tokenizer().vocab == tokenizer.vocab


def test_the_template_takes_the_34_tokens_that_diffusers_drops(tokenizer):
    assert tokenizer.prefix_length == 34


def test_letters_of_a_word_stay_single_tokens(tokenizer):
    for word in ("QWEN", "A1B2", "THE", "7070"):
        assert len(tokenizer.encode(word)) == len(word)


def test_an_untrained_painter_predicts_no_velocity():
    painter = train.Painter()
    img, txt = torch.randn(2, 64, 64), torch.randn(2, 7, 192)
    with torch.no_grad():
        velocity = painter.transformer(img, txt, torch.tensor([0.3, 0.9]), [(1, 8, 8)])
    assert torch.equal(velocity, torch.zeros(2, 64, 64))


def test_measured_statistics_make_latents_of_unit_variance(vae, monkeypatch):
    monkeypatch.setattr(train, "MEASURED", 64)
    measured = train.with_statistics(vae)
    latents = train.encode_posters(measured, PAINTER, range(64))
    assert latents.mean((0, 2, 3)).abs().max() < 1e-2
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_latents_are_encoded_once_and_read_back(vae, tmp_path, small):
    first = train.Latents(vae, PAINTER, tmp_path)[[3, 9]]
    vae_that_must_not_run = None
    again = train.Latents(vae_that_must_not_run, PAINTER, tmp_path)[[3, 9]]
    assert torch.equal(first, again)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["000.safetensors", "001.safetensors"]


def flat(painter) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in painter.parameters()])


def test_training_goes_on_bit_for_bit_where_it_was_stopped(vae, tokenizer, tmp_path, small):
    lesson = with_recipe(PAINTER, steps=4, batch=4, warmup=2)

    def weights(folder, *stops):
        for until in stops:
            painter = train.train_painter(vae, tokenizer, folder, lesson, until=until)
        return flat(painter)

    assert torch.equal(weights(tmp_path / "a", 4), weights(tmp_path / "b", 2, 4))


def test_a_lesson_is_not_taken_up_again_after_another_beginning(vae, tokenizer, tmp_path, small):
    lesson = with_recipe(SPELLER, steps=1, batch=4)

    def teach(seed):
        start = train.Painter(seed)
        return flat(train.train_painter(vae, tokenizer, tmp_path, lesson, start))

    first = teach(0)
    assert torch.equal(teach(0), first)
    with pytest.raises(ValueError, match="on other data, or on other weights"):
        teach(1)


def command(folder, vae_steps=2, steps=3) -> list[str]:
    return [
        *("train", "pocket", "--edition", "1", "--runs", str(folder / "runs")),
        *("--to", str(folder / "out")),
        *("--vae-steps", str(vae_steps), "--steps", str(steps)),
    ]


class Killed(BaseException):
    """Ends a run where it stands, as a kill does: nothing is saved, nothing cleaned up."""


def kill_at(monkeypatch, calls: int) -> None:
    """The next run is killed when it computes the painter's loss for the `calls`-th time."""
    loss, counted = train.flow_step, iter(range(1, 1000))

    def deadly(*arguments):
        if next(counted) == calls:
            raise Killed
        return loss(*arguments)

    monkeypatch.setattr(train, "flow_step", deadly)


def test_the_train_command_killed_in_each_lesson_ends_with_the_same_bytes(
    tmp_path, small, monkeypatch
):
    assert cli.main(command(tmp_path / "whole", steps=10)) == 0
    fit = train.Run.fit
    monkeypatch.setattr(
        train.Run, "fit", lambda *a, **options: fit(*a, **options | {"save_seconds": 0})
    )
    loss = train.flow_step
    for calls in (6, 11):  # the sixth step of the first lesson, then of the second one
        monkeypatch.setattr(train, "flow_step", loss)
        kill_at(monkeypatch, calls)
        with pytest.raises(Killed):
            cli.main(command(tmp_path / "killed", steps=10))
    monkeypatch.setattr(train, "flow_step", loss)
    assert not (tmp_path / "killed" / "out").exists()
    assert cli.main(command(tmp_path / "killed", steps=10)) == 0
    for name in ("transformer", "text_encoder", "vae"):
        whole, killed = (
            next((tmp_path / kind / "out" / name).glob("*.safetensors")).read_bytes()
            for kind in ("whole", "killed")
        )
        assert whole == killed, name


def test_the_train_command_makes_a_folder_that_loads_and_resumes(tmp_path, small):
    assert cli.main(command(tmp_path)) == 0
    assert cli.main(command(tmp_path)) == 0
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    for name in ("painter", "speller"):
        log = (tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in log] == [3]
        assert record["logs"][name][-1]["step"] == record["recipes"][name]["steps"] == 3
    assert [record["recipes"][name]["seed"] for name in ("vae", "painter", "speller")] == [0, 0, 1]
    assert record["lessons"]["speller"]["lengths"] == [1, 2, 3, 3, 4, 4]
    pipe = QwenImage.from_pretrained(tmp_path / "out")
    assert pipe.recommended["sample_size"] == 128
    assert pipe.transformer.config.num_layers == 1
    # a longer run must not go on from a quick try: its rates, and its VAE's latents, are others
    assert cli.main(command(tmp_path, steps=4)) == 2
    assert cli.main(command(tmp_path, vae_steps=3)) == 2


def test_no_number_of_steps_below_one_is_taken(tmp_path, capsys):
    for arguments in ({"steps": 0}, {"vae_steps": -1}):
        assert cli.main(command(tmp_path, **arguments)) == 2
        assert "steps must be at least 1, got" in capsys.readouterr().err


def test_training_never_writes_over_a_folder_that_is_no_model(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert cli.main(["train", "pocket", "--to", str(tmp_path / "photos")]) == 2
    assert "--to must be new or hold a model, got" in capsys.readouterr().err


# ---- the lessons


def test_the_posters_of_the_lessons_are_different_ones_and_none_is_a_test_s():
    numbers = [range(x.first, x.first + x.posters) for x in (PAINTER, SPELLER)]
    assert not {*numbers[0]} & {*numbers[1]}
    assert max(map(max, numbers)) < train.TEST_SEED


def test_the_second_lesson_has_more_and_longer_words():
    words = [[x.scene(n).word for n in range(1000)] for x in (PAINTER, SPELLER)]
    shares = [sum(map(bool, those)) / 1000 for those in words]
    assert shares == pytest.approx([0.7, 0.85], abs=0.04)
    lengths = [sum(map(len, those)) / sum(map(bool, those)) for those in words]
    assert lengths == pytest.approx([2.5, 17 / 6], abs=0.1)


def test_a_poster_keeps_its_scene_and_is_worded_anew_when_it_comes_again():
    again = SPELLER.posters
    assert [SPELLER.scene(n) for n in range(9)] == [SPELLER.scene(n + again) for n in range(9)]
    first, second = ([SPELLER.prompt(n + i) for n in range(9)] for i in (0, again))
    assert first != second


def test_only_the_second_lesson_s_captions_are_loose():
    plain, loose = ([x.prompt(n) for n in range(2000)] for x in (PAINTER, SPELLER))
    for sign, rule in {
        "capital": lambda text: text[0].isupper(),
        "full stop": lambda text: text[-1] in ".。",
        "grey": lambda text: "grey" in text,
    }.items():
        assert sum(map(rule, plain)) == 0, sign
        assert 40 <= sum(map(rule, loose)) <= 1000, sign


def test_a_loose_caption_says_the_same_in_other_letters():
    scene = Scene("gray", (Shape("star", "red"),), "large", "AB12")
    heard = {loosened(caption(scene), seed) for seed in range(300)}
    assert 'A big red star on a grey background with the text "AB12".' in heard
    assert caption(scene) in heard and len(heard) == 16
    heard = {loosened(caption(scene, "zh"), seed) for seed in range(300)}
    assert heard == {
        f"灰色背景上，一个大{of}红色星形，文字“AB12”{end}"
        for of in ("的", "")
        for end in ("", "。")
    }


def test_no_held_out_scene_is_trained_on():
    trained = lessons.trained_scenes()
    assert {x.scene(n) for x in (PAINTER, SPELLER) for n in (0, x.posters - 1)} <= trained
    assert not {trial.scene for trial in trials(300)} & trained


# ---- what is shipped


@torch.no_grad()
def test_the_shipped_vae_keeps_true_posters_above_36_decibels():
    pipe = QwenImage.from_pretrained(POCKET)
    img = train.pictures(range(train.TEST_SEED, train.TEST_SEED + 32))
    assert psnr(pipe.vae.decode(pipe.vae.encode(img)[0]), img).mean() >= 36


def test_the_shipped_files_are_those_of_the_training_record():
    record = json.loads((POCKET / "training.json").read_text())
    for name, sha256 in record["sha256"].items():
        assert hashlib.sha256((POCKET / name).read_bytes()).hexdigest() == sha256, name
    for network in record["recipes"]:
        assert record["logs"][network][-1]["step"] == record["recipes"][network]["steps"]


def test_the_shipped_folder_is_at_most_34_megabytes():
    assert sum(f.stat().st_size for f in POCKET.rglob("*") if f.is_file()) <= 34e6
