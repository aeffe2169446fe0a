"""What the README's table says that training changes: the numbers of the records that it names."""

import json
import re

import numpy as np
import pytest

from qwenimage_ref import QwenImage
from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.pocket.variants import open_variant
from qwenimage_ref.posters.read import read
from qwenimage_ref.repository import MEASUREMENTS, POCKET, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def row(mode: str) -> str:
    table = README[README.index("| mode | minutes of a core |") :]  # one of memory comes later
    return re.findall(rf"^\| `{mode}`.*$", table, re.M)[0]


def records(line: str) -> list[dict]:
    """The records that a row names"""
    names = re.findall(r"`(\w[\w.]*\.json)`", line)
    return [json.loads((MEASUREMENTS / name).read_text()) for name in names]


def listed(words: list) -> str:
    """Three results, as a sentence has them"""
    return f"{', '.join(map(str, words[:-1]))} and {words[-1]}"


def test_the_modes_are_counted_and_named():
    sentence = README[README.index("`qwenimage train` has nine modes") :].partition(";")[0]
    assert re.findall(r"`(\w+)`", sentence) == [*MODES] and len(MODES) == 9
    assert "`prepare` encodes the data" in README


def test_preference_in_both_settings():
    line, (record,) = row("dpo"), records(row("dpo"))
    for setting, words in (("6 steps, no guidance", "better than before on {} pictures that"),
                           ("20 steps, guidance 4", "in 20 guided steps on {} (`")):  # fmt: skip
        wins = [seed["results"][setting]["wins"] for seed in record["seeds"]]
        shares = [f"{each['right']} of {each['of']}" for each in wins]
        assert words.format(listed(shares)) in line
        assert {each["of"] + each["equal"] for each in wins} == {200}
    assert {seed["pairs"] for seed in record["seeds"]} == {221} and "221 pairs" in line
    assert {round(seed["log"][-1]["seconds"] / 60) for seed in record["seeds"]} == {3}


def test_reward_without_a_kl_and_with_it():
    line = row("grpo")
    free, held = records(line)
    assert (free["beta"], held["beta"]) == (0, 0.02) and "a KL of 0.02" in line
    for record in (free, held):
        rows = [each["results"]["6 steps, no guidance"]["all that was trained"]
                for each in record["seeds"]]  # fmt: skip
        assert {(each["before"]["right"], each["before"]["of"]) for each in rows} == {(31, 57)}
        assert f"{listed([each['after']['right'] for each in rows])} " in line
    assert "31 of 57 before; " in line and "more than 14 points" in line
    lost = [max(_lost(seed)) for seed in (*free["seeds"], *held["seeds"])]
    assert sum(each > 0.25 for each in lost[:3]) == 1 and all(each < 0.14 for each in lost[3:])


def _lost(seed: dict) -> list[float]:
    """How much less often each question is right after a training, in both settings"""
    return [
        -each["difference"]["difference"]
        for rows in seed["results"].values()
        for each in rows.values()
    ]


@pytest.mark.parametrize("mode, varied", [("distill", "more varied"), ("dmd2", "as varied")])
def test_students_of_one_step(mode, varied):
    line, (record,) = row(mode), records(row(mode))
    assert "one training run |" in line and record["steps"] == 1
    rows = record["rows"]
    base, student, teacher = (rows[k] for k in ("base", mode, "teacher, 20 steps, guidance 4"))
    right = f"{base['scene']['right']} of {base['scene']['of']} scenes before, "
    assert right + f"{student['scene']['right']} after" in line
    lost = student["word less the base's"]
    assert lost["low"] < 0 < lost["high"] and "words as before" in line
    mean, before, most = (each["variety"]["mean"] for each in (student, base, teacher))
    assert f"{varied}, {mean:.2f} after {before:.2f}, the teacher's twenty steps {most:.2f}" in line
    assert (mean > 1.2 * before) == (varied == "more varied") and mean > 0.95 * before


def test_a_difference_and_nothing_that_is_shared():
    line, (record,) = row("differential"), records(row("differential"))
    trait = record["trait"]["seeds"]

    def right(adapter: str, question: str) -> set[int]:
        assert {each[adapter][question]["of"] for each in trait} == {40}
        return {each[adapter][question]["right"] for each in trait}

    before, ours = "no adapter", "differential LoRA"
    assert (right(before, "no word"), right(ours, "no word")) == ({0}, {40})
    assert right(before, "paper of the sets") == right(ours, "paper of the sets") == {0}
    assert right("plain LoRA", "paper of the sets") == {39, 40}
    assert right(before, "scene") == right(ours, "scene") == {38}
    for words in ("on 0 of 40 captions before, on 40 after", "on 0, as before",
                  "(a plain LoRA: 39 or 40)", "scenes 38 of 40 as before"):  # fmt: skip
        assert words in line


def test_bases_of_fewer_bits():
    line, (record,) = row("lora"), records(row("lora"))
    hearts = record["hearts"]
    assert hearts["no adapter"]["right"] == 0 and "none of 40 before" in line
    right = [each["hearts"]["right"] for seed in hearts["seeds"] for each in seed.values()]
    assert f"{min(right)} to {max(right)} after on each base, as in float32" in line
    size = {name: f"{each['bytes'] / 1e6:.1f}" for name, each in hearts["seeds"][0].items()}
    packed = listed([size[name] for name in ("scaled fp8", "int8 by row", "Q4_0")])
    assert f"with {packed} MB in place of {size['float32']}" in line


def test_what_the_editor_does_is_what_was_recorded():
    words = " ".join(README[README.index("Or follow an instruction.") :].split())
    record = json.loads((MEASUREMENTS / "editing_edit.json").read_text())
    whole, *kinds = record["edits"]
    obeyed, rest, both = (whole[part]["right"] for part in ("obeyed", "untouched", "both"))
    assert f"of {record['captions']} held-out instructions it obeys {obeyed}, " in words
    assert f"leaves the rest of {rest} posters alone" in words
    assert f"does both with {both}; the goals are 85, 90 and 80 per cent" in words
    assert min(kinds, key=lambda kind: kind["both"]["share"])["kind"] == "word"
    after = json.loads((MEASUREMENTS / "edit_chains.json").read_text())["after"]
    own, wanted = (lines[-1]["word"] for lines in after.values())
    assert f"{own['right']} of {own['of']} words are still right, and {wanted['right']}" in words


def test_what_editors_of_several_pictures_do_and_what_a_lora_mends():
    words = " ".join(README[README.index("Two more editors continue") :].split())
    plus = [
        json.loads((MEASUREMENTS / f"editing_edit-{name}.json").read_text())["several"][0]["obeyed"]
        for name in (2509, 2511)
    ]
    asked, (first, second) = plus[0]["of"], (each["right"] for each in plus)
    assert f"of {asked} instructions about several pictures they obey {first} and {second}" in words
    further = json.loads((MEASUREMENTS / "editing_edit-2509-further.json").read_text())
    obeyed, swapped = further["several"][0]["obeyed"], further["swapped"]
    assert f"the first obeys {obeyed['right']} of {obeyed['of']}, and it reads the numbers" in words
    straight, turned, alone = (
        swapped[name]["right"] for name in ("straight", "turned", "pictures")
    )
    of = f"of {swapped['straight']['of']} recolourings {straight} are right, {turned} where"
    assert of in words and f"and {alone} where the pictures alone are" in words
    rows = json.loads((MEASUREMENTS / "edit_time_zero.json").read_text())["rows"]
    own, other = (
        rows[f"trained without, run {how}"]["shares"]["both"] for how in ("without", "with")
    )
    right = f"{other['right']} of {other['of']} edits right instead of {own['right']}"
    assert f"gets {right} (`edit_time_zero.json`)" in words
    moved = json.loads((MEASUREMENTS / "edit_displaced.json").read_text())["inward"]
    lost = {way: sum(each is None for each in places) for way, places in moved.items()}
    spread, adapted, of = (
        lost["half, spread"],
        lost["half, spread, LoRA"],
        len(moved["half, spread"]),
    )
    assert f"loses {spread} of {of} shapes, and {adapted} with a LoRA" in words


def test_curriculum_and_control_are_what_was_recorded():
    words = " ".join(README[README.index("Is the curriculum worth it?") :].split())
    record = json.loads((MEASUREMENTS / "short_curriculum.json").read_text())
    colours, spelled = record["rows"]["colours"], record["rows"]["word"]
    first, second = (colours[name]["right"] for name in ("curriculum", "control"))
    assert f"the colours of {first} of {record['captions']} held-out captions are right" in words
    assert (
        f"with the curriculum and of {second} without (p = {colours['paired']['p']:.3f})" in words
    )
    assert spelled["curriculum"]["right"] == spelled["control"]["right"] == 0
    assert record["share"] == 10 and "At a tenth of the work, one run of each" in words
    assert f"lower without, by {record['loss']['paired']['mean']:.4f}" in words


def test_the_edit_of_the_readme_does_what_it_says():
    first, second = re.findall(r'paint "(a purple circle|turn the purple circle blue)"', README)
    (poster,) = QwenImage.from_pretrained(POCKET)(first, " ", seed=0)
    editor = open_variant("edit")
    (edited,) = editor(second, " ", image=poster, num_inference_steps=20, seed=0)
    for picture, colour in ((poster, "purple"), (edited, "blue")):
        (region,) = read(np.asarray(picture)).regions
        assert (region.name, region.colour) == ("circle", colour)
