"""The second edition's score: every question is asked, and answered by the right captions."""

import dataclasses
import functools
import json
from collections import Counter

from PIL import Image

from qwenimage_ref.evaluate import geneval, held_out, score, second_edition
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.posters.scene import SEVERAL, SIZES
from qwenimage_ref.posters.strokes import level_of
from qwenimage_ref.posters.writing import is_chinese

COUNT = 84  # each size 12 times


class Copyist:
    """Stands in for a VAE that loses nothing."""

    def encode(self, img):
        return img, None

    def decode(self, z):
        return z


class Painter:
    """Draws what trials ask for, in the asked size; `blind` ignores what the prompt says."""

    vae = Copyist()

    class tokenizer:
        encode = staticmethod(str.split)

    def __init__(self, count: int, blind: bool = False):
        trial_list = held_out.trials(count)
        self.scenes, self.sizes = {}, Counter()
        for trial in trial_list:
            scene = trial_list[0].scene if blind else trial.scene
            for asked in (trial, score.in_english(trial)):
                self.scenes[asked.prompt, trial.scene.size] = scene

    def __call__(self, prompts, seed, height, width, **_):
        self.sizes[width, height] += len(prompts)
        size = (width, height)
        scenes = [dataclasses.replace(self.scenes[p, size], size=size) for p in prompts]
        return [Image.fromarray(draw(scene, n)) for scene, n in zip(scenes, seed)]


@functools.cache
def perfect():
    painter = Painter(COUNT)
    return painter, second_edition.evaluate(painter, COUNT, quiet=True)


def test_a_perfect_painter_scores_everything_in_every_row():
    painter, result = perfect()
    assert result["wrong"] == []
    assert all(row["right"] == row["of"] > 0 for row in result["rows"].values())
    assert set(painter.sizes) == set(SIZES)
    assert "three Chinese characters" in result["vae"]


def test_the_table_prints_its_rows():
    text = score.table(perfect()[1])
    for row in ("a hundred times rarer", "scene, 176x96", "colour attribution", "4 equal shapes"):
        assert row in text


def test_a_painter_that_ignores_its_prompt_is_wrong_in_every_category():
    rows = second_edition.evaluate(Painter(42, blind=True), 42, quiet=True)["rows"]
    assert rows["whole scene"]["right"] <= 1
    for category in geneval.CATEGORIES:
        assert rows[category]["right"] < rows[category]["of"], category


def test_the_trials_are_a_fair_mixture():
    trial_list = held_out.trials(420)
    assert set(Counter(t.scene.size for t in trial_list).values()) == {60}
    assert 0.26 < sum(t.language == "zh" for t in trial_list) / 420 < 0.40
    words = [t.scene.word for t in trial_list if t.scene.word]
    chinese = [word for word in words if is_chinese(word)]
    assert 0.75 < len(words) / 420 < 0.92 and 0.3 < len(chinese) / len(words) < 0.5
    assert all(len(set(map(level_of, word))) == 1 for word in chinese)
    assert 0.15 < sum(t.scene.layout == SEVERAL for t in trial_list) / 420 < 0.35


def test_curriculum_and_control_are_compared_caption_by_caption(tmp_path, monkeypatch, capsys):
    for name in ("curriculum", "control"):
        (tmp_path / name).mkdir()
        logs = {"vae": [{"step": 1, "loss": 9.0}], name: [{"step": 50, "loss": 0.5}]}
        (tmp_path / name / "training.json").write_text(json.dumps({"logs": logs}))
    painters = {"curriculum": Painter(14), "control": Painter(14, blind=True)}
    load = lambda folder: painters[folder.name]  # noqa: E731
    monkeypatch.setattr(second_edition.QwenImage, "from_pretrained", load)
    folders = [x for name in painters for x in (f"--{name}", str(tmp_path / name))]
    file = tmp_path / "curriculum.json"
    assert second_edition.main([*folders, "--captions", "14", "--to", str(file)]) == 0
    result = json.loads(file.read_text())
    assert result["control"]["curves"] == {"control": [[50, 0.5]]}
    assert result["curriculum less control"]["difference"] > 0.8
    assert "points of 14 captions" in capsys.readouterr().out
