"""The figures of chapter 24: grids over each other, the sliders of the paths, tables of records."""

import io
import json

import numpy as np
import pytest
from helpers.painting_over import POSTER
from PIL import Image

from qwenimage_ref.course.figures import edit_surveys, editing
from qwenimage_ref.evaluate import edit_paths
from qwenimage_ref.evaluate.intervals import interval, mean_interval
from qwenimage_ref.rope import positions


def pixels(shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB"), dtype=int)


def drawn(*grids):
    panel = {"title": "two grids", "positions": positions([*grids], 1)[0]}
    return pixels(editing.grids_over([panel], "two grids over each other"))


def orange(picture) -> float:
    """Share of the pixels in the colour of picture 1"""
    return (np.abs(picture - (230, 159, 0)).max(axis=2) < 12).mean()


def test_each_grid_is_drawn_with_its_tokens_or_as_an_outline():
    few, none = drawn((1, 6, 6), (1, 4, 4)), drawn((1, 6, 6))
    assert orange(none) == 0 < orange(few)
    many = drawn((1, 40, 40), (1, 20, 20))
    assert 0 < orange(many) < orange(few)


@pytest.fixture
def calls(monkeypatch):
    """What the paths were given, in place of painting"""
    given = []

    def paint(pipe, prompt, vision, vae, size, seed):
        given.append((prompt, len(vision), len(vae), size, seed))
        return POSTER.rotate(90 * len(given))

    monkeypatch.setattr(edit_paths, "paint", paint)
    return given


def test_a_cut_path_gets_no_picture(calls):
    for cut in editing.CUTS.values():
        editing.cut_off(None, "make it red", POSTER, cut, seed=3)
    numbers = [(vision, vae) for _, vision, vae, *_ in calls]
    assert numbers == [(1, 1), (0, 1), (1, 0), (0, 0)]
    assert {call[3:] for call in calls} == {((128, 128), 3)}


def test_each_state_of_the_sliders_is_painted_once(calls):
    panel = editing.PathPanel(None, POSTER, ["make it red", "make it blue"])
    first = panel.picture.value
    panel.cut.value = "the VAE"
    assert panel.picture.value != first and calls[-1][:3] == ("make it red", 1, 0)
    panel.cut.value = "nothing"
    assert panel.picture.value == first
    panel.instruction.value = "make it blue"
    assert len(calls) == 3 and calls[-1][:3] == ("make it blue", 1, 1)


def record(obeyed: int, masks: list[float]) -> dict:
    shares = {name: interval(obeyed, 100) for name in ("obeyed", "untouched", "both")}
    understanding = {"mask": mean_interval(masks), "depth": interval(10, 10)}
    return {"captions": 100, "edits": [{"kind": "all"} | shares], "understanding": understanding}


def test_the_table_has_a_row_for_every_record_and_the_whole_editor_first(tmp_path):
    for name in ("edit-vae-only", "edit"):
        (tmp_path / f"editing_{name}.json").write_text(json.dumps(record(60, [0.9, 0.8])))
    (tmp_path / "parity.json").write_text("{}")
    records = editing.recorded(tmp_path)
    assert [*records] == ["edit", "edit-vae-only"]
    rows = editing.rows(records)
    assert all(len(row) == len(editing.HEADER) for row in rows)
    assert rows[0][:3] == ["edit", 100, "0.60 [0.50, 0.69]"]
    assert editing.rows(editing.recorded(tmp_path / "none")) == []


def test_a_goal_is_reached_or_missed_only_where_the_whole_interval_says_so():
    def verdict(obeyed):
        return editing.verdicts({"edit": record(obeyed, [0.9, 0.8])})["instruction obeyed"]

    assert verdict(99).endswith("reached") and verdict(50).endswith("missed")
    assert verdict(88).endswith("open")
    assert editing.verdicts({}) == {}


def test_every_editor_has_its_bars_and_without_a_record_there_is_a_sentence():
    one = {"edit": record(60, [0.9, 0.8])}
    two = one | {"edit-vae-only": record(30, [0.9, 0.8])}
    assert pixels(editing.arms(two)).shape[0] > pixels(editing.arms(one)).shape[0]
    assert "No editor" in editing.arms({}).data


def test_the_order_test_is_shown_for_the_editors_that_took_it():
    shares = {name: interval(9, 10) for name in ("straight", "turned", "pictures")}
    records = {"edit": {}, "edit-2509": {"swapped": shares}}
    ((name, *cells),) = editing.order_rows(records)
    assert name == "edit-2509" and len(cells) == len(editing.ORDERS) - 1


def test_a_curve_of_five_edits_for_each_start_and_a_histogram_for_each_way():
    line = {name: interval(5, 10) for name in ("form", "place", "background", "word")}
    both = edit_surveys.chained({"own result": [line] * 5, "wanted poster": [line] * 5})
    one = edit_surveys.chained({"own result": [line] * 5})
    assert pixels(both).shape[1] > 1.5 * pixels(one).shape[1]
    ways = {"equal size": [0.0, 1.0, None], "half, centred": [17.0, 18.0, -80.0]}
    shown = edit_surveys.displaced(ways, [17.0, 18.0, 16.0])
    assert "equal size, half, centred" in shown.alt and pixels(shown).shape[0] > 100


def test_time_zero_has_a_curve_for_each_arm_and_a_panel_for_each_kind_of_pixels():
    error = {"mean": 5.0, "low": 4.0, "high": 6.0}
    row = {"colour error": {"stays": [error] * 2, "changes": [error] * 2}}
    one = edit_surveys.time_zero([0.2, 1.0], {"with": row})
    two = edit_surveys.time_zero([0.2, 1.0], {"with": row, "without": row})
    assert one.data != two.data and "level of noise" in two.alt
