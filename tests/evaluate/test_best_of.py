"""Keeping the best of N: what is kept on average, and what its judge takes it for."""

import itertools
import json

import pytest
from PIL import Image

from qwenimage_ref.evaluate import best_of
from qwenimage_ref.evaluate.score import trials
from qwenimage_ref.posters.draw import draw


def test_what_is_kept_is_the_mean_over_all_choices():
    worth, judged = [0.1, 0.9, 0.4, 0.6, 0.2], [5.0, 1.0, 4.0, 2.0, 3.0]
    for number in range(1, 6):
        choices = list(itertools.combinations(range(5), number))
        mean = sum(worth[max(c, key=lambda i: judged[i])] for c in choices) / len(choices)
        assert best_of.kept(worth, judged, number) == pytest.approx(mean)
    assert best_of.kept(worth, judged, 1) == pytest.approx(sum(worth) / 5)
    assert best_of.kept(worth, worth, 5) == 0.9


def test_equal_marks_are_no_better_than_chance():
    worth = [0.0, 1.0] * 8
    means = [best_of.kept(worth, [1.0] * 16, 16, seed) for seed in range(400)]
    assert 0.4 < sum(means) / 400 < 0.6
    with pytest.raises(ValueError, match="^number must be 1 to 16, got 17$"):
        best_of.kept(worth, worth, 17)


def test_true_posters_have_the_best_mark_and_one_without_its_word_only_by_shapes():
    trial = next(each for each in trials(40) if each.scene.word)
    marks = best_of.marks_of(trial, Image.fromarray(draw(trial.scene, 1)))
    assert marks == {"exact": 1.0, "shapes alone": 1.0}
    other = "A" if trial.scene.word != "A" else "B"
    wrong = draw(trial.scene.__class__(**{**vars(trial.scene), "word": other}), 1)
    marks = best_of.marks_of(trial, Image.fromarray(wrong))
    assert marks["shapes alone"] == 1.0 > marks["exact"] >= 5 / 6


def test_a_judge_that_errs_believes_more_than_it_gets_and_the_exact_one_gets_what_it_believes():
    pools = [
        {"exact": [(i * 7 + j * 5) % 16 / 15 for j in range(16)],
         "shapes alone": [(i + j) % 2 * 1.0 for j in range(16)]} for i in range(30)
    ]  # fmt: skip
    rows = {(row["judge"], row["number"]): row for row in best_of.curves(pools)}
    assert len(rows) == 4 * len(best_of.NUMBERS)
    exact, noisy = (
        [rows[name, number] for number in best_of.NUMBERS]
        for name in ("the exact reader", "noise of 0.3")
    )
    assert [row["worth"] for row in exact] == [row["believed"] for row in exact]
    worths = [row["worth"]["mean"] for row in exact]
    assert worths == sorted(worths) and worths[-1] == 1.0 and exact[-1]["all right"]["mean"] == 1.0
    gaps = [row["believed"]["mean"] - row["worth"]["mean"] for row in noisy]
    assert gaps[-1] > 0.1 > abs(gaps[0]) and noisy[-1]["worth"]["mean"] < 1.0


def test_a_survey_is_written_with_its_pools_and_resumes(tmp_path, monkeypatch):
    monkeypatch.setattr(best_of, "terms_of", lambda pipe, captions: {"captions": captions})
    painted = []

    def pool(pipe, trial, number):
        painted.append(trial.prompt)
        return {"exact": [1.0] * 16, "shapes alone": [1.0] * 16}

    monkeypatch.setattr(best_of, "paint_pool", pool)
    monkeypatch.setattr(best_of, "tqdm", lambda each, **_: each)
    record = best_of.survey(None, 12, tmp_path / "best_of.json")
    assert len(painted) == 12 == len(record["pools"])
    stored = json.loads((tmp_path / "best_of.json").read_text())
    assert stored["rows"] == record["rows"] and not (tmp_path / "best_of.progress").exists()
