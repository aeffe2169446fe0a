"""GenEval's six categories: who is asked what, and what counts as right."""

import dataclasses
import itertools
import json

import pytest
from PIL import Image

from qwenimage_ref.cli import main
from qwenimage_ref.evaluate import geneval, score, second_edition
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.posters.scene import RELATIONS, SEVERAL, Shape

COUNT = 4


SUITES = pytest.mark.parametrize("suite", [score.FIRST, second_edition.SECOND])


class Painter:
    """Draws the scenes that it is asked for, each changed by `change`."""

    class tokenizer:
        encode = staticmethod(str.split)

    def __init__(self, suite, change=lambda scene: scene):
        asked = itertools.chain(*geneval.prompts(suite, COUNT).values())
        self.scenes = {(trial.prompt, trial.scene.size): trial.scene for trial in asked}
        self.change = change

    def __call__(self, prompts, seed, height, width, **_):
        scenes = [self.change(self.scenes[prompt, (width, height)]) for prompt in prompts]
        return [Image.fromarray(draw(scene, n)) for scene, n in zip(scenes, seed)]


def shares(suite, change=lambda scene: scene) -> dict[str, float]:
    result = geneval.evaluate(Painter(suite, change), suite, COUNT, quiet=True)
    return {name: row["share"] for name, row in result["rows"].items()}


@SUITES
def test_a_perfect_painter_is_right_in_every_category(suite):
    assert set(shares(suite).values()) == {1}


@SUITES
def test_every_category_has_its_own_captions_and_as_many_as_asked_for(suite):
    dealt = geneval.prompts(suite, COUNT)
    scenes = [trial.scene for trial in itertools.chain(*dealt.values())]
    assert {name: len(asked) for name, asked in dealt.items()} == dict.fromkeys(dealt, COUNT)
    assert len(set(scenes)) == len(scenes)


def test_what_a_world_cannot_express_is_named_and_not_scored():
    result = geneval.evaluate(Painter(score.FIRST), score.FIRST, COUNT, quiet=True)
    assert "counting" not in result["rows"] and result["overall"]["of"] == 5
    assert "not scored: the first edition" in geneval.table(result)
    assert "counting" in geneval.prompts(second_edition.SECOND, COUNT)


def test_position_asks_for_all_four_relations():
    asked = geneval.prompts(score.FIRST, 60)["position"]
    english = " ".join(trial.prompt for trial in asked if trial.language == "en")
    for relation in ("right of", "left of", "above", "below"):
        assert relation in english, relation
    assert {trial.scene.layout for trial in asked} == set(RELATIONS)


def recoloured(scene):
    """Every colour replaced by one that the scene lacks."""
    free = next(c for c in ("green", "pink", "orange") if c not in {s.colour for s in scene.shapes})
    shapes = tuple(Shape(shape.name, free) for shape in scene.shapes)
    several = len(shapes) > 1 and len(set(shapes)) == 1
    return dataclasses.replace(scene, shapes=shapes, layout=SEVERAL if several else scene.layout)


def test_a_painter_of_wrong_colours_fails_where_colours_are_asked_for():
    right = shares(second_edition.SECOND, recoloured)
    assert right["colours"] == right["colour attribution"] == 0
    assert right["one object"] == right["counting"] == 1


def one_fewer(scene):
    if scene.layout != SEVERAL:
        return scene
    shapes = scene.shapes[1:] if len(scene.shapes) > 2 else scene.shapes * 2
    return dataclasses.replace(scene, shapes=shapes)


def test_a_painter_that_cannot_count_fails_in_counting_alone():
    right = shares(second_edition.SECOND, one_fewer)
    assert {name for name, share in right.items() if share < 1} == {"counting"}
    assert right["counting"] == 0


def swapped(scene):
    if len(scene.shapes) != 2 or scene.layout == SEVERAL:
        return scene
    return dataclasses.replace(scene, shapes=scene.shapes[::-1])


def test_a_painter_of_the_wrong_side_fails_in_position_alone():
    right = shares(score.FIRST, swapped)
    assert {name for name, share in right.items() if share < 1} == {"position"}
    assert right["position"] == 0


def test_the_failures_are_listed_by_their_captions():
    result = geneval.evaluate(Painter(score.FIRST, swapped), score.FIRST, COUNT, quiet=True)
    asked = geneval.prompts(score.FIRST, COUNT)["position"]
    assert result["wrong"]["position"] == [trial.prompt for trial in asked]


def test_the_command_prints_the_table_and_records_what_it_says(tmp_path, capsys):
    file = tmp_path / "geneval.json"
    options = ["--captions", "1", "--steps", "2", "--record", str(file)]
    assert main(["eval", "geneval", *options]) == 0
    stored = json.loads(file.read_text())
    assert geneval.table(stored) == capsys.readouterr().out.strip("\n")
    assert {"machine", "versions", "commit", "command"} <= stored.keys()


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--captions", "0"], "--captions must be at least 1, got 0"),
        (["--cfg", "nan"], "--cfg must be a finite number, got nan"),
        (["--to", "pictures"], "--to goes with --prompts"),
        (["--edition", "3"], "invalid choice"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(options, complaint, capsys):
    assert main(["eval", "geneval", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("qwenimage: ") and complaint in line
