"""The score: a painter that is right or wrong is told so, whatever the question."""

import functools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.cli import main
from qwenimage_ref.evaluate import held_out, second_edition
from qwenimage_ref.evaluate import score as ev
from qwenimage_ref.posters.draw import draw

DATA = Path(__file__).parents[2] / "data"


class Copyist:
    """Stands in for a VAE: gives back the upper half and forgets the lower."""

    def encode(self, img):
        return img, None

    def decode(self, z):
        return torch.cat([z[:, :, :64], torch.zeros_like(z[:, :, 64:])], 2)


class Painter:
    """Draws what trials ask for; `shift` gives every prompt its neighbour's picture.

    `mute`: knows no Chinese, and paints its first English picture instead.
    """

    vae = Copyist()

    class tokenizer:
        encode = staticmethod(str.split)

    def __init__(self, count, shift=0, mute=False):
        made = ev.trials(count)
        scenes = [trial.scene for trial in made]
        self.pictures, self.asked = {}, []
        for i, trial in enumerate(made):
            picture = Image.fromarray(draw(scenes[(i + shift) % count], i))
            self.pictures[ev.in_english(trial).prompt] = picture
            self.pictures[trial.prompt] = picture
        if mute:
            first = next(iter(self.pictures.values()))
            self.pictures |= {p: first for p in self.pictures if "背景" in p}

    def __call__(self, prompts, seed, **_):
        assert len(seed) == len(prompts)
        self.asked += zip(prompts, seed)
        return [self.pictures[prompt] for prompt in prompts]


@functools.cache
def perfect():
    """A painter that makes no mistake, after its evaluation, and the result."""
    painter = Painter(40)
    return painter, ev.evaluate(painter, 40, quiet=True)


def test_a_perfect_painter_scores_everything():
    _, result = perfect()
    assert all(row["right"] == row["of"] > 0 for row in result["rows"].values())
    assert [pair["difference"] for pair in result["paired"].values()] == [0, 0]


def test_a_painter_of_the_wrong_scenes_scores_nothing():
    rows = ev.evaluate(Painter(40, shift=1), 40, quiet=True)["rows"]
    assert rows["whole scene"]["right"] == rows["word exactly right"]["right"] == 0


def test_each_question_is_asked_of_the_captions_that_can_answer_it():
    rows = perfect()[1]["rows"]
    of = {name: row["of"] for name, row in rows.items()}
    assert of["single object"] + of["two objects"] == of["counting"] == 40
    assert of["scene, English"] + of["scene, Chinese"] == 40
    assert sum(of[name] for name in of if "character" in name) == of["word exactly right"] < 40


def test_a_question_of_several_parts_needs_all_of_them():
    trial = next(t for t in ev.trials(40) if len(t.scene.shapes) == 2)
    found = dict.fromkeys(("scene", "count", "shapes", "colours", "layout", "background"), True)
    found |= {"word": True, "colours": False}
    rows = ev.answers([trial], [found])
    assert rows["two objects"]["right"] == 1
    assert rows["colours, each on its own object"]["right"] == 0
    assert rows["colour of a single object"]["of"] == 0


def test_chinese_is_asked_again_in_english_from_the_same_noise():
    painter, _ = perfect()
    chinese = [trial for trial in ev.trials(40) if trial.language == "zh"]
    twins = [ev.in_english(trial) for trial in chinese]
    assert sorted(painter.asked[40:]) == sorted((twin.prompt, twin.seed) for twin in twins)
    assert [twin.seed for twin in twins] == [trial.seed for trial in chinese]


def test_a_painter_without_chinese_is_behind_in_chinese():
    found = ev.evaluate(Painter(40, mute=True), 40, quiet=True)["paired"]["scene"]
    assert found["difference"] < -0.9 and found["high"] < -0.5 and found["p"] < 0.01


def test_the_copies_of_a_vae_are_compared_with_their_posters():
    rows = ev.evaluate(Painter(4), 4, quiet=True)["vae"]
    assert rows["four-letter words"]["psnr"]["of"] == 4
    assert all(row["psnr"]["mean"] < 20 and row["ssim"]["mean"] < 0.9 for row in rows.values())


def test_trials_are_a_fair_mixture():
    made = ev.trials(1000)
    shares = {
        "word": np.mean([bool(t.scene.word) for t in made]),
        "zh": np.mean([t.language == "zh" for t in made]),
        "unseen": np.mean([t.scene.unseen for t in made]),
    }
    assert shares == pytest.approx({"word": 0.64, "zh": 1 / 3, "unseen": 0.31}, abs=0.06)


def test_the_table_says_every_number_with_its_interval():
    lines = ev.table(ev.evaluate(Painter(4), 4, quiet=True)).splitlines()
    found = next(line for line in lines if line.startswith("whole scene")).split()
    assert found[2:] == ["4", "4", "100.0%", "51.0", "to", "100.0"]
    assert any(line.startswith("scene   ") and "+0.0" in line for line in lines)
    assert any(line.startswith("no word") and " dB" not in line for line in lines)


def test_a_question_that_nobody_was_asked_has_no_share():
    result = {"captions": 0, "steps": 1, "cfg": 1, "paired": {}, "vae": {}}
    assert " - " in ev.table(result | {"rows": {"a": ev.interval(0, 0)}})


def test_the_sheet_puts_pictures_in_rows_and_fills_up_with_white():
    pictures = [np.full((4, 5, 3), i, np.uint8) for i in range(3)]
    sheet = ev.contact_sheet(pictures, columns=2)
    assert sheet.shape == (8, 10, 3)
    assert (
        (sheet[:4, 5:] == 1).all() and (sheet[4:, :5] == 2).all() and (sheet[4:, 5:] == 255).all()
    )


def test_words_have_a_section_of_their_own():
    result = perfect()[1]
    of = result["rows"]["word exactly right"]["of"]
    assert result["words"]["all words"]["accuracy"]["right"] == of
    assert "edit distance" in ev.table(result)
    assert "edit distance" not in ev.table(result | {"words": {}})


def test_eval_without_a_measure_is_the_suite(capsys):
    command = ["--captions", "1", "--steps", "2"]
    outputs = []
    for measure in ([], ["suite"]):
        assert main(["eval", *measure, *command]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


def test_the_command_prints_the_table_and_records_what_it_says(tmp_path, capsys):
    file = tmp_path / "score.json"
    assert main(["eval", "--captions", "2", "--steps", "2", "--record", str(file)]) == 0
    stored = json.loads(file.read_text())
    assert ev.table(stored) == capsys.readouterr().out.strip("\n")
    assert {"machine", "versions", "commit", "command"} <= stored.keys()


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--captions", "0"], "--captions must be at least 1, got 0"),
        (["--steps", "0"], "num_inference_steps must be"),
        (
            ["--record", "nowhere/score.json"],
            "must be in a folder that exists, got nowhere/score.json",
        ),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["nonsense"], "invalid choice: 'nonsense'"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(options, complaint, capsys):
    assert main(["eval", *options]) == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert shown.startswith("qwenimage: ") and complaint in shown


def test_the_shipped_model_is_as_good_as_its_record_says():
    stored = json.loads((DATA / "measurements" / "pocket_eval.json").read_text())["rows"]
    made = held_out.trials(42)
    pipe = QwenImage.from_pretrained(DATA / "pocket")
    scores = ev.read_back(made, ev.paint(pipe, made, quiet=True))
    rows = ev.answers(made, scores, second_edition.SECOND.questions)
    for name in ("whole scene", "word exactly right"):
        share, of = stored[name]["share"], rows[name]["of"]
        # three standard errors; one right and one wrong are added, for a share of 1 has none
        error = math.sqrt((share * of + 1) * ((1 - share) * of + 1) / of) / of
        assert rows[name]["share"] >= share - 3 * error, name
