"""LoRAs on packed bases and of one trait out of two: posters, bases, rows, and the command."""

import json
from dataclasses import replace

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.checkpoint.packed_linear import PackedLinear
from qwenimage_ref.evaluate import adapted, one_trait, packed_bases
from qwenimage_ref.evaluate.one_trait import ALONE, DIFFERENTIAL, PLAIN
from qwenimage_ref.posters import heart
from qwenimage_ref.posters.draw import draw, paint, place
from qwenimage_ref.posters.read import read
from qwenimage_ref.repository import POCKET


@pytest.fixture(scope="module")
def pipe() -> QwenImage:
    return QwenImage.from_pretrained(POCKET)


# -- packed bases


@pytest.mark.parametrize("name", packed_bases.BASES)
def test_a_base_is_packed_and_smaller_and_nearly_the_same(pipe, name):
    exact = packed_bases.linear_bytes(pipe.transformer)
    with packed_bases.opened(name, pipe, POCKET) as opened:
        layers = named_linears(opened.transformer.transformer_blocks).values()
        packed = [isinstance(layer, PackedLinear) for layer in layers]
        size = packed_bases.linear_bytes(opened.transformer)
    assert len(packed) > 100 and set(packed) == {name in packed_bases.PACKED}
    bits = {"float32": 32, "bf16": 16, "scaled fp8": 8, "int8 by row": 8, "Q4_0": 4.5}[name]
    assert size == pytest.approx(exact * bits / 32, rel=0.02)
    for ours, theirs in zip(layers, named_linears(pipe.transformer.transformer_blocks).values()):
        if isinstance(ours, PackedLinear):
            weight = ours.unpacked(torch.float32)
            assert (weight - theirs.weight).norm() < 0.15 * theirs.weight.norm()


def test_an_adapter_is_trained_on_a_packed_base_and_taken_off_again(pipe, tmp_path, monkeypatch):
    on = []

    def hearts(packed, captions):
        (adapter,) = lora.adapters(packed.transformer)
        on.append((packed.transformer, any(pair.lora_B.any() for pair in adapter.pairs.values())))
        return "10"

    monkeypatch.setattr(packed_bases, "hearts", hearts)
    recipe = replace(packed_bases.RECIPE, steps=2, batch=2)
    arguments = "Q4_0", pipe, POCKET, packed_bases.lessons(pipe)[:2], recipe, tmp_path, 2
    row = packed_bases.measure(*arguments)
    ((mmdit, moved),) = on
    assert moved and not lora.adapters(mmdit) and not lora.adapters(pipe.transformer)
    assert row["hearts"] == "10" and row["loss"] > 0 and row["seconds"] > 0
    assert packed_bases.measure(*arguments) == row  # the finished run is there


def test_the_hearts_that_are_asked_for_are_new_and_differ_in_scene_or_noise():
    lessons, _ = heart.scenes()
    asked = packed_bases.asked(25)
    assert len({(trial.scene, trial.seed) for trial in asked}) == 25
    assert len({trial.scene for trial in asked}) == 10
    assert not {trial.prompt for trial in asked} & {heart.prompt(scene) for scene in lessons}


def test_hearts_are_counted_picture_by_picture(monkeypatch):
    def paint(pipe, trials, *settings, quiet):
        others = [
            replace(t.scene, shapes=(replace(t.scene.shapes[0], name="star"),)) for t in trials
        ]
        return [heart.draw(trials[0].scene), draw(others[1]), heart.draw(trials[2].scene)]

    monkeypatch.setattr(packed_bases, "paint", paint)
    assert packed_bases.hearts(None, 3) == "101"


def test_rows_of_bases_have_intervals_and_the_difference_from_float32():
    one = {"loss": 0.1, "seconds": 2.0, "bytes": 8}
    table = packed_bases.rows(
        {"float32": one | {"hearts": "1110"}, "Q4_0": one | {"hearts": "0100", "bytes": 1}}
    )
    assert table["float32"]["hearts"]["share"] == 0.75 and table["Q4_0"]["hearts"]["right"] == 1
    assert table["Q4_0"]["hearts less float32's"]["difference"] == -0.5
    assert table["Q4_0"]["bytes"] == 1 and "hearts less float32's" not in table["float32"]


# -- one trait


def test_a_pair_of_posters_differs_in_the_word_alone():
    pairs = one_trait.pairs(40)
    for pair in pairs:
        differs = (pair.unwanted != pair.wanted).any(2)
        assert 0 < differs.sum() and not differs[:92].any()
        shown, without = read(pair.unwanted).scene, read(pair.wanted).scene
        assert shown == replace(pair.scene, background=one_trait.PAPER)
        assert without == replace(shown, word="")
        assert pair.scene.word in pair.caption
    assert len({pair.caption for pair in pairs}) == 40


def test_what_is_asked_is_in_neither_set_and_never_on_its_paper():
    asked = {trial.scene for trial in one_trait.questions(one_trait.HELD_OUT)}
    trained = {pair.scene for pair in one_trait.pairs(40)}
    assert not asked & trained
    assert all(scene.word and scene.background != one_trait.PAPER for scene in asked | trained)


def test_both_sets_have_the_same_captions_and_sizes(pipe):
    data = one_trait.examples(pipe, 3)
    unwanted, wanted = data["unwanted"], data["wanted"]
    for one, other in zip(unwanted, wanted, strict=True):
        assert torch.equal(one.txt, other.txt) and one.latents.shape == other.latents.shape
        assert not torch.equal(one.latents, other.latents)


def test_drawn_pictures_answer_every_question():
    for trial in one_trait.questions(30):
        placed = place(trial.scene, trial.seed)
        on_paper = replace(placed, background=one_trait.PAPER)
        shows = {
            "as asked": one_trait.answer(trial, paint(placed)),
            "no word": one_trait.answer(trial, paint(replace(placed, word=""))),
            "both": one_trait.answer(trial, paint(replace(on_paper, word=""))),
            "empty": one_trait.answer(trial, paint(replace(on_paper, shapes=(), word=""))),
        }
        bits = {name: "".join("01"[bit] for bit in row.values()) for name, row in shows.items()}
        assert bits == {"as asked": "0011", "no word": "1011", "both": "1101", "empty": "1100"}


def test_rows_of_ways_are_compared_caption_by_caption():
    bits = {ALONE: "0000", PLAIN: "1111", DIFFERENTIAL: "1100"}
    of_way = {way: dict.fromkeys(one_trait.QUESTIONS, each) for way, each in bits.items()}
    of_way[PLAIN] |= {"loss": 0.5}
    table = one_trait.rows(of_way)
    paper = one_trait.TRAINED
    assert table[DIFFERENTIAL][paper]["share"] == 0.5 and table[PLAIN]["loss"] == 0.5
    assert table[DIFFERENTIAL][f"{paper}, less no adapter"]["difference"] == 0.5
    assert table[DIFFERENTIAL][f"{paper}, less plain LoRA"]["difference"] == -0.5
    assert table[DIFFERENTIAL][f"{paper}, less plain LoRA"]["second_only"] == 2
    assert [*table[ALONE]] == [*one_trait.QUESTIONS]


@pytest.mark.parametrize("way", one_trait.LEARNED_FROM)
def test_each_way_leaves_one_adapter_while_it_paints(pipe, tmp_path, monkeypatch, way):
    on = []

    def answers(pipe, asked):
        on.append(len(lora.adapters(pipe.transformer)))
        return {}

    monkeypatch.setattr(one_trait, "answers", answers)
    recipe, data = replace(packed_bases.RECIPE, steps=2, batch=2), one_trait.examples(pipe, 2)
    row = one_trait.measure(pipe, way, data, recipe, tmp_path, 2)
    logs = [json.loads(file.read_text()) for file in tmp_path.rglob("log.jsonl")]
    assert on == [1] and not lora.adapters(pipe.transformer)
    assert len(logs) == (2 if way == DIFFERENTIAL else 1)
    assert row["seconds"] == pytest.approx(sum(log["processor"] for log in logs), abs=0.01)
    assert row["loss"] > 0


# -- the command


@pytest.fixture
def measured(monkeypatch) -> list:
    """Stands in for all that trains and paints -> what was measured"""
    parts = []

    def hearts(name, pipe, base, lessons, recipe, folder, captions):
        parts.append((name, recipe.seed, recipe.steps, folder))
        return {"hearts": "1" * captions, "loss": 0.1, "seconds": 1.0, "bytes": 9}

    def trait(pipe, way, data, recipe, folder, captions):
        parts.append((way, recipe.seed, recipe.steps, folder))
        return dict.fromkeys(one_trait.QUESTIONS, "1" * captions) | {"loss": 0.1, "seconds": 1.0}

    def alone(pipe, captions):
        parts.append((ALONE,))
        return {key: "0" * captions for key in ("hearts", *one_trait.QUESTIONS)}

    monkeypatch.setattr(packed_bases, "measure", hearts)
    monkeypatch.setattr(one_trait, "measure", trait)
    for study in (packed_bases, one_trait):
        monkeypatch.setattr(study, "alone", alone)
    monkeypatch.setattr(packed_bases, "lessons", lambda pipe: [])
    monkeypatch.setattr(one_trait, "examples", lambda pipe: {})
    return parts


def arguments(tmp_path, *more: str) -> list[str]:
    places = "--to", str(tmp_path / "new" / "record.json"), "--runs", str(tmp_path / "runs")
    return ["--captions", "2", "--seeds", "0", "5", *places, *more]


def test_the_command_measures_every_base_and_way_with_every_seed_once(tmp_path, measured, capsys):
    assert adapted.main(arguments(tmp_path)) == 0
    assert len(measured) == 2 + 2 * (5 + 2)
    assert len({folder for *_, folder in measured[2:]}) == 14
    assert {part[1:3] for part in measured[2:]} == {(seed, 70) for seed in (0, 5)}
    record = json.loads((tmp_path / "new" / "record.json").read_text())
    assert record["numbers of seeds"] == [0, 5] and record["steps"] == 70
    assert [*record["hearts"]["seeds"][1]] == list(packed_bases.BASES)
    assert [*record["trait"]["seeds"][0]] == [ALONE, PLAIN, DIFFERENTIAL]
    assert {"machine", "versions", "commit", "weights", "results"} <= record.keys()
    assert "base, seed 5" in (text := capsys.readouterr().out) and "trait, seed 0" in text
    assert adapted.main(arguments(tmp_path)) == 0  # a second time
    assert len(measured) == 16 and "delete it to measure again" in capsys.readouterr().out


def test_an_interrupted_study_resumes_and_measures_nothing_twice(tmp_path, measured, monkeypatch):
    trait = one_trait.measure

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_trait, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        adapted.main(arguments(tmp_path))
    assert len(measured) == 12
    monkeypatch.setattr(one_trait, "measure", trait)
    assert adapted.main(arguments(tmp_path)) == 0
    assert len(measured) == 16 and len(set(measured[2:])) == 14
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["record.json"]


def test_other_steps_are_measured_anew_and_kept_apart(tmp_path, measured):
    assert adapted.main(arguments(tmp_path, "--steps", "3")) == 0
    assert adapted.main(arguments(tmp_path, "--steps", "4")) == 0
    assert len(measured) == 32
    assert len({part for part in measured if part != (ALONE,)}) == 28
    assert {part[2] for part in measured if part != (ALONE,)} == {3, 4}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--captions", "1"], "--captions must be 2 to 1000, got 1"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--seeds", "0", "-1"], "--seeds must be in 0 to"),
        (["--to", "."], "--to must be a file"),
        (["--base", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_one_line(options, message, capsys):
    assert adapted.main(options) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_a_run_of_another_recipe_in_the_folder_is_one_line(tmp_path, measured, monkeypatch, capsys):
    def refused(*arguments):
        raise adapted.RunError("state.safetensors is of another run; use another folder")

    monkeypatch.setattr(packed_bases, "measure", refused)
    assert adapted.main(arguments(tmp_path)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_shares_of_a_record_are_printed_beside_their_names():
    results = {
        f"hearts, {base}, seed 0": {"hearts": "1111", "loss": 0.1, "seconds": 2.0, "bytes": 1234}
        for base in packed_bases.BASES
    }
    results |= {
        f"trait, {way}, seed 0": dict.fromkeys(one_trait.QUESTIONS, "0011")
        for way in one_trait.LEARNED_FROM
    }
    alone = dict.fromkeys(("hearts", *one_trait.QUESTIONS), "0000")
    results |= {f"hearts, {ALONE}": alone, f"trait, {ALONE}": alone}
    record = adapted.tabled(results, [0]) | {"numbers of seeds": [0]}
    text = adapted.lines(record)
    assert text[0] == "hearts without an adapter: 0 (0 to 49)"
    (fp8,) = (line for line in text if line.startswith("scaled fp8"))
    assert "1,234" in fp8 and fp8.endswith("100 (51 to 100)")
    (plain,) = (line for line in text if line.startswith(PLAIN))
    assert plain.count("50 (15 to 85)") == 4
