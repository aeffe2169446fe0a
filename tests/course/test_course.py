"""What notebooks are made with: pictures and tables, sliders, checkers and the builder."""

import copy
import importlib.util
import io
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.course import answers, check, show, sliders
from qwenimage_ref.course.publish import build, environment
from qwenimage_ref.pocket import first_grid
from qwenimage_ref.posters.draw import Scene, Shape, caption, draw
from qwenimage_ref.posters.read import read

MUTANTS = sorted((Path(__file__).parents[1] / "mutants").glob("ex_*/*.py"))
RED_CIRCLE = Scene("white", (Shape("circle", "red"),), "large")


class TruePosters:
    """Stands in for a pipeline: draws a poster that differs with seed and steps."""

    def __init__(self):
        self.calls = []

    def __call__(self, prompt, negative_prompt, true_cfg_scale, num_inference_steps, seed):
        if prompt == "too long":
            raise ValueError("the prompt has 60,000 characters")
        self.calls.append((prompt, seed, num_inference_steps, true_cfg_scale))
        return [Image.fromarray(draw(RED_CIRCLE, seed + 10 * num_inference_steps))]


def poster(seed=0) -> Image.Image:
    return Image.fromarray(draw(RED_CIRCLE, seed))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# ---- exercises


def mutant(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkers() -> list[str]:
    return [name for name in dir(check) if name.startswith("ex_")]


@pytest.mark.parametrize("path", MUTANTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_wrong_answer_fails_with_its_mistake_named_and_no_answer_given(path):
    wrong = mutant(path)
    with pytest.raises(check.NotYet) as failure:
        getattr(check, path.parent.name)(wrong.answer)
    hint = str(failure.value)
    assert wrong.HINT in hint
    assert answers.spoilers(path.parent.name).isdisjoint(re.findall(r"\w+", hint))


@pytest.mark.parametrize("name", checkers())
def test_the_answer_passes_its_checker(name, capsys):
    stored = getattr(answers, name.upper())
    mine = copy.copy(stored)
    if callable(stored):
        mine = lambda *given, **others: stored(*given, **others)  # noqa: E731
    elif isinstance(stored, str):
        mine = "".join([*stored])  # a string of its own
    getattr(check, name)(mine)
    assert capsys.readouterr().out.startswith("right: ")


@pytest.mark.parametrize("name", checkers())
def test_the_stored_answer_is_not_called_right_but_stored(name, capsys):
    getattr(check, name)(getattr(answers, name.upper()))
    assert capsys.readouterr().out.startswith("stored answer used: ")


@pytest.mark.parametrize("name", checkers())
def test_an_exercise_has_at_least_three_wrong_answers(name):
    assert sum(path.parent.name == name for path in MUTANTS) >= 3


@pytest.mark.parametrize("name", checkers())
def test_a_stub_is_told_that_it_is_one(name):
    def stub(*_, **__):
        raise NotImplementedError

    for answer, words in ((..., "there is no answer yet"), (stub, "still empty")):
        with pytest.raises(check.NotYet) as failure:
            getattr(check, name)(answer)
        if answer is ... or callable(getattr(answers, name.upper())):
            assert words in str(failure.value)


@pytest.mark.parametrize("name", checkers())
def test_a_result_of_another_form_is_a_hint_and_no_traceback(name):
    for result in (None, "words", 7, torch.ones(3, 1), (), {"a": 1}):
        with pytest.raises(check.NotYet) as failure:
            getattr(check, name)(lambda *_, given=result, **__: given)
        assert len(str(failure.value)) > 10, result


def test_an_exception_of_ones_own_code_is_shown_with_its_line():
    def answer(*_):
        return torch.ones(2) @ torch.ones(3)

    with pytest.raises(RuntimeError, match="inconsistent"):
        check.ex_06_joint(answer)


def test_the_flipping_word_means_the_flipped_scene():
    left, right = Shape("circle", "red"), Shape("star", "blue")
    assert check.START_00 == caption(Scene("white", (left, right), "left of"))
    flipped = Scene("white", (right, left), "left of")
    wordings = {caption(flipped, "en", seed) for seed in range(200)}
    assert answers.EX_00_WORD in wordings


def test_a_hint_is_shown_without_a_traceback():
    assert check.NotYet("try again")._render_traceback_() == ["not yet: try again"]


def test_a_stub_is_replaced_by_the_stored_answer():
    def stub():
        raise NotImplementedError

    assert answers.unless_solved(..., 7) == 7
    assert answers.unless_solved(stub, 7) == 7


def test_a_learners_own_answer_stays():
    def mine():
        return 3

    assert answers.unless_solved("mine", 7) == "mine"
    assert answers.unless_solved(mine, 7) is mine


# ---- show


def test_source_is_what_the_package_says_now():
    text = show.source(show.difference).data
    assert text.startswith("```python\ndef difference(") and text.endswith("```")


def test_a_table_row_of_another_length_is_refused():
    assert show.table(["a", "b"], [[1, 2]]).data == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    with pytest.raises(ValueError, match="a row must have 2 cells"):
        show.table(["a", "b"], [[1]])


def test_a_grid_shows_each_picture_under_its_caption():
    shown = show.grid([poster(i) for i in range(6)], ["one two"] * 6, "six red circles")
    assert shown.alt == "six red circles"
    picture = opened(shown.data).convert("RGB")
    assert picture.width == 4 * 256 + 3 * 8
    levels = np.asarray(picture)
    assert (levels[: picture.height - 2 * 256 - 16] < 100).any(), "ink of the caption"
    middle = levels[picture.height - 128, 128 + 264]
    assert np.abs(middle - np.array((220.0, 40, 40))).max() < 8, "the sixth is a red circle"


def test_a_caption_that_the_font_cannot_write_is_refused():
    with pytest.raises(
        ValueError, match="must be in the font's letters or the posters' characters, got '红'"
    ):
        show.grid([poster()], ["红色"], "a red circle")


def test_a_picture_without_a_description_is_refused():
    with pytest.raises(ValueError, match="alt must describe the picture"):
        show.shown(poster(), "circle")


def test_a_shown_picture_carries_its_description():
    data, metadata = show.shown(poster(), "a red circle")._repr_png_()
    assert metadata["alt"] == "a red circle" and data
    assert repr(show.shown(poster(), "a red circle")) == "a red circle"


def test_a_png_has_a_palette_and_hardly_differs():
    small = opened(show.png(poster()))
    assert small.mode == "P"
    assert show.difference(small, poster()) < 1


def test_the_difference_of_pictures_is_in_pixel_steps():
    black, gray = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (3, 3, 3))
    assert show.difference(black, gray) == 3
    with pytest.raises(ValueError, match="must be of one size"):
        show.difference(black, Image.new("RGB", (4, 5)))


@pytest.mark.parametrize(
    "scene, words",
    [
        (RED_CIRCLE, "large red circle on white"),
        (
            Scene("navy", (Shape("star", "yellow"), Shape("ring", "pink")), "above", "AB"),
            'yellow star above pink ring on navy, "AB"',
        ),
    ],
)
def test_a_read_poster_is_put_in_words(scene, words):
    assert show.describe(read(draw(scene))) == words


def test_an_unreadable_picture_is_put_in_words():
    assert show.describe(read(np.full((128, 128, 3), (255, 0, 255), np.uint8))) == "nothing on odd"


def test_data_that_is_missing_is_named():
    with pytest.raises(FileNotFoundError, match="data/nothing is missing"):
        show.data_file("nothing")


def test_the_palette_is_told_apart_by_colour_blind_eyes():
    # Viénot's projection for people without the red-sensitive or the green-sensitive cones
    to_lms = np.array([[17.8824, 43.5161, 4.1194], [3.4557, 27.1554, 3.8671], [0.03, 0.184, 1.467]])
    no_red, no_green = np.eye(3), np.eye(3)
    no_red[0], no_green[1] = [0, 2.02344, -2.52581], [0.494207, 0, 1.24827]
    colours = [show.PALETTE[name] for name in ("text", "image", "joint", "wrong", "accent")]
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours])
    for project in (no_red, no_green):
        seen = rgb @ (np.linalg.inv(to_lms) @ project @ to_lms).T
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
        assert apart[np.triu_indices(len(colours), 1)].min() > 25


# ---- sliders


def test_a_picture_is_painted_with_what_the_setting_says():
    pipe = TruePosters()
    data = sliders.paint_png(pipe, sliders.Setting("words", seed=3, steps=8, guidance=2))
    assert opened(data).size == (128, 128)
    assert pipe.calls == [("words", 3, 8, 2)]


def test_a_moved_slider_changes_the_picture_and_its_words():
    panel = sliders.Sliders(TruePosters(), sliders.Setting("words"))
    before = panel.picture.value
    panel.seed.value = 2
    assert panel.picture.value != before
    assert panel.words.value.startswith("seed 2, 20 steps, guidance 4: large red circle")


def test_a_slider_moved_back_shows_the_old_picture_without_painting_again():
    pipe = TruePosters()
    panel = sliders.Sliders(pipe, sliders.Setting("words"))
    before = panel.picture.value
    panel.steps.value, panel.steps.value = 8, 20
    assert panel.picture.value == before
    assert len(pipe.calls) == 2


def test_a_prompt_that_cannot_be_painted_says_why_and_leaves_the_picture():
    panel = sliders.Sliders(TruePosters(), sliders.Setting("words"))
    before = panel.picture.value
    panel.prompt.value = "too long"
    assert panel.words.value == "the prompt has 60,000 characters"
    assert panel.picture.value == before


def test_the_printed_states_move_one_slider_at_a_time():
    home = sliders.Setting("words")
    states = sliders.one_by_one(home)
    assert len(states) == 12 and home in states
    fields = ("prompt", "seed", "steps", "guidance")
    for state in states:
        assert sum(getattr(state, name) != getattr(home, name) for name in fields) <= 1


def test_a_film_shows_one_frame_at_a_time_and_its_button_moves_the_slider():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    film = sliders.Film(frames, ["one", "two", "three"])
    assert film.picture.value == show.png(frames[2]) and film.words.value == "three"
    film.play.value = 1
    assert film.step.value == 1
    assert film.picture.value == show.png(frames[1]) and film.words.value == "two"
    film.step.value = 0
    assert film.play.value == 0 and film.words.value == "one"
    assert repr(film).startswith("a film of the frames above")


def test_where_no_widget_can_be_sliders_are_words():
    bundle = sliders.Sliders(TruePosters(), sliders.Setting("words"))._repr_mimebundle_()
    assert bundle["text/plain"].startswith("sliders for seed, steps and guidance")


# ---- the first grid


def test_the_first_grid_is_asked_in_both_languages_with_and_without_words():
    assert {language for _, language in first_grid.SCENES} == {"en", "zh"}
    assert {bool(scene.word) for scene, _ in first_grid.SCENES} == {True, False}
    assert [i for i, (scene, _) in enumerate(first_grid.SCENES) if scene.unseen] == [6]


def test_a_sheet_holds_the_pictures_row_by_row_untouched():
    pictures = [poster(i) for i in range(8)]
    sheet = first_grid.sheet(pictures)
    assert sheet.size == (512, 256)
    assert show.difference(sheet.crop((128, 128, 256, 256)), pictures[5]) == 0


# ---- the environment


def test_the_environment_is_complete_where_the_tests_run():
    rows = environment.packages()
    assert {"torch", "ipywidgets"} <= {row[0] for row in rows}
    assert {row[3] for row in rows} == {"OK"}


@pytest.mark.parametrize("line, verdict", [("torch>=99", "too old"), ("nosuchthing>=1", "missing")])
def test_what_is_too_old_or_missing_is_said(line, verdict):
    assert environment._row(environment.Requirement(line))[3] == verdict


# ---- the builder

SOURCE = """# %% [markdown]
# # A title

# %% tags=["exercise"]
import sys
x = 1

# %%
{last}
"""


def source(folder: Path, last: str) -> Path:
    (folder / "src").mkdir()
    path = folder / "src" / "00_small.py"
    path.write_text(SOURCE.format(last=last), encoding="utf-8")
    return path


def test_a_built_notebook_holds_outputs_counts_tags_and_no_trace_of_the_run(tmp_path):
    path = source(tmp_path, "import ipywidgets\nipywidgets.IntSlider(x)")
    target, _ = build.build(path)
    notebook = nbformat.read(target, as_version=4)
    assert [cell.get("execution_count") for cell in notebook.cells] == [None, 1, 2]
    assert notebook.cells[1].metadata == {"tags": ["exercise"]}
    assert list(notebook.cells[2].outputs[0].data) == ["text/plain"]
    assert set(notebook.metadata) == {"kernelspec", "language_info", "qwenimage_ref"}
    first = target.read_bytes()
    build.build(path)
    assert target.read_bytes() == first, "the same source gives the same file"


@pytest.mark.parametrize(
    "last, complaint",
    [("1 / 0", "ZeroDivisionError"), ("print('oh', file=sys.stderr)", "writes to stderr: oh")],
)
def test_a_cell_that_fails_or_complains_stops_the_build_and_keeps_the_old_file(
    tmp_path, last, complaint
):
    path = source(tmp_path, last)
    old = tmp_path / "00_small.ipynb"
    old.write_text("old")
    with pytest.raises(build.BuildError, match=f"00_small.py(.|\n)*{complaint}"):
        build.build(path)
    assert old.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00_small.ipynb", "src"]


def test_an_edit_changes_the_id_of_no_other_cell(tmp_path):
    path = source(tmp_path, "x + 1")
    before = [cell.id for cell in build.from_source(path).cells]
    path.write_text(path.read_text().replace("x = 1", "x = 2"))
    after = [cell.id for cell in build.from_source(path).cells]
    assert [a == b for a, b in zip(before, after)] == [True, False, True]


def test_cells_that_say_the_same_have_different_ids(tmp_path):
    path = source(tmp_path, "import sys\nx = 1")
    ids = [cell.id for cell in build.from_source(path).cells]
    assert len(set(ids)) == 3


def test_a_name_that_no_notebook_has_is_an_error(capsys):
    assert build.main(["77"]) == 2
    assert "has such a name" in capsys.readouterr().err
