"""The gallery of bugs: each is planted, seen, caught by the test that it names, and undone."""

import importlib
import inspect
import itertools
from pathlib import Path

import pytest
import torch
from diffusers import QwenImagePipeline
from PIL import Image

from qwenimage_ref import QwenImage, pipeline, sampler
from qwenimage_ref.course import answers
from qwenimage_ref.course.bugs import plant, quiz
from qwenimage_ref.course.bugs.invisible import BY_HAND
from qwenimage_ref.course.bugs.visible import BUGS
from qwenimage_ref.course.show import pocket_folder
from qwenimage_ref.posters.draw import caption
from qwenimage_ref.posters.read import score
from qwenimage_ref.repository import ROOT
from tests.helpers.pixels import painted

FEW = 4  # steps; half of the notebook's, which asserts the same bounds
every_corner = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(pocket_folder())


@pytest.fixture(scope="module")
def right(pipe):
    return {size: plant.paint(pipe, size=size, steps=FEW) for size in (112, 128)}


@pytest.fixture(scope="module")
def theirs():
    loaded = QwenImagePipeline.from_pretrained(pocket_folder(), dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


# ---- the bugs


def test_every_corner_has_a_name_of_its_own():
    assert len({bug.name for bug in BUGS}) == len(BUGS) == 25


@every_corner
def test_what_a_bug_paints_is_farther_from_the_right_picture_than_its_bound(pipe, right, bug):
    painted = plant.paint(pipe, bug, steps=FEW)
    assert plant.psnr(painted.picture, right[bug.size].picture) < bug.below


def test_the_same_sums_in_another_order_are_no_bug(pipe, right):
    painted = plant.paint(pipe, BY_HAND, steps=FEW)
    assert plant.psnr(painted.picture, right[128].picture) > 80
    assert plant.apart(painted.latents, right[128].latents) < 1e-4


def test_the_right_picture_shows_what_was_asked_for(pipe):
    found = score(quiz.WALL, plant.paint(pipe).picture)
    assert found["scene"] and found["word"]


def cases(function):
    """The arguments of every case that a test is made for, without fixtures."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    options = []
    for mark in marks:
        names = [name.strip() for name in mark.args[0].split(",")]
        values = [value if len(names) > 1 else (value,) for value in mark.args[1]]
        options.append([dict(zip(names, value)) for value in values])
    for chosen in itertools.product(*options):
        yield {name: value for part in chosen for name, value in part.items()}


def passes(function, arguments) -> bool:
    try:
        function(**arguments)
    except AssertionError:
        return False
    return True


@every_corner
def test_the_test_that_a_bug_names_fails_where_its_bug_is(bug, request, monkeypatch):
    file, name = bug.test.split("::")
    monkeypatch.syspath_prepend(ROOT / Path(file).parent)
    function = getattr(importlib.import_module(Path(file).stem), name)
    known = next(cases(function)).keys()
    needed = [name for name in inspect.signature(function).parameters if name not in known]
    fixtures = {name: request.getfixturevalue(name) for name in needed}
    with plant.planted(bug):
        assert not all(passes(function, case | fixtures) for case in cases(function))


# ---- planting


def everything() -> list:
    """Every function of the package that some bug changes, as it is now."""
    bugs = (*BUGS, BY_HAND)
    return [plant._find(change.where)[-1] for bug in bugs for change in bug.changes]


def test_a_bug_is_wherever_a_function_was_imported_and_is_undone_after_an_error():
    kept, before = sampler.guide, everything()
    bug = next(bug for bug in BUGS if bug.name == "no rescale")
    with pytest.raises(ZeroDivisionError), plant.planted(bug):
        assert pipeline.guide is sampler.guide is not kept
        raise ZeroDivisionError
    assert pipeline.guide is sampler.guide is kept
    assert everything() == before


@every_corner
def test_a_bug_leaves_nothing_behind(bug):
    before = everything()
    with plant.planted(bug):
        assert everything() != before
    assert everything() == before


def test_lines_that_are_not_there_are_named():
    bug = plant.Bug("x", "", (plant.Change("sampler.guide", "nonsense", ""),), 1, "")
    with pytest.raises(LookupError, match="sampler.guide must hold 'nonsense' once, got 0 times"):
        with plant.planted(bug):
            pass


# ---- looking


def test_half_the_error_is_six_decibels_more():
    gray = [Image.new("RGB", (4, 4), (level,) * 3) for level in (0, 2, 4)]
    assert plant.psnr(gray[0], gray[1]) - plant.psnr(gray[0], gray[2]) == pytest.approx(6.02, 1e-3)
    assert plant.psnr(gray[0], gray[0]) == float("inf")
    with pytest.raises(ValueError, match="must be of one size"):
        plant.psnr(gray[0], Image.new("RGB", (4, 5)))


def test_a_bug_is_shown_in_its_lines_alone():
    bug = next(bug for bug in BUGS if bug.name == "no rescale")
    assert plant.diff(bug).splitlines() == [
        "# sampler.guide",
        "-    return combined * length",
        "+    return combined",
    ]
    shown = plant.exhibit(bug).data
    assert shown.startswith("**no rescale**: guidance") and bug.test.split("::")[1] in shown


# ---- the quiz


def test_the_sick_pictures_have_the_causes_that_the_answer_names():
    assert [BUGS[place].name for place in quiz.SICK] == answers.EX_11_DIAGNOSE
    assert {*answers.EX_11_DIAGNOSE} <= {*quiz.CAUSES}


def test_the_prompts_ask_for_the_scenes_that_are_looked_for():
    for scene, prompt in ((quiz.WALL, plant.PROMPT), (quiz.SCENE, quiz.PROMPT)):
        assert prompt in {caption(scene, "en", seed) for seed in range(200)}


def test_causes_are_listed_in_the_order_of_the_alphabet_and_only_if_a_picture_shows_them():
    assert list(quiz.CAUSES) == sorted(bug.name for bug in BUGS if bug.shows)


def test_the_quiz_counts_and_names_no_picture():
    assert quiz.verdict(["a", quiz.ASKED, "c"], ["a", "b", "b"]) == "1 of 3 right, 1 still open"
    assert quiz.verdict(["a", "b", "b"], ["a", "b", "b"]) == "3 of 3 right"
    with pytest.raises(ValueError, match="causes must be 3, one a picture, got 2"):
        quiz.verdict(["a", "b"], ["a", "b", "b"])


def test_a_choice_changes_the_words_below_the_pictures():
    board = quiz.Quiz([Image.new("RGB", (8, 8))] * 2, quiz.CAUSES[:2])
    assert board.words.value == "0 of 2 right, 2 still open"
    board.choices[1].value = quiz.CAUSES[1]
    assert board.words.value == "1 of 2 right, 1 still open"
    board.choices[0].value = quiz.CAUSES[3]
    assert board.words.value == "1 of 2 right"


def test_where_no_widget_can_be_the_quiz_is_words():
    board = quiz.Quiz([Image.new("RGB", (8, 8))] * 2, quiz.CAUSES[:2])
    assert board._repr_mimebundle_()["text/plain"].startswith("2 pictures, each with a list")


def test_a_bar_is_as_long_as_its_distance_and_says_by_its_colour_whether_a_picture_shows_it():
    distances = {"velocity sign": 18.0, "exact GELU": 72.0}
    shown = plant.chart(distances, {"velocity sign"}, "two bars of 18 and 72 dB")
    assert painted(shown, "text") == pytest.approx(4 * painted(shown, "image"), rel=0.1)
    far = plant.chart({"last bits": 90.0}, set(), "one bar behind the line", bound=80)
    assert painted(far, "joint") > 0 == painted(far, "text")
    assert plant.plt.get_fignums() == []
