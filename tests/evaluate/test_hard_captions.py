"""Captions of what is painted worst: what they ask, who has seen them, and how answers compare."""

import pytest

from qwenimage_ref.evaluate import hard_captions
from qwenimage_ref.evaluate.hard_captions import (
    HARD,
    PLAIN,
    QUESTIONS,
    THREE,
    THREES,
    compared,
    gains,
    held_out,
    training,
    wins,
)
from qwenimage_ref.posters.scene import SEVERAL, SQUARE
from qwenimage_ref.posters.strokes import level_of
from qwenimage_ref.posters.writing import is_chinese


@pytest.fixture(scope="module")
def trials():
    return held_out(4)


def test_kinds_take_turns_in_training_and_never_hold_what_is_kept_from_it():
    scenes = [trial.scene for trial in training(30)]
    assert not any(scene.unseen for scene in scenes)
    assert {scene.size for scene in scenes} == {SQUARE}
    assert all(len(scene.word) == 4 for scene in scenes[0::3])
    assert all(level_of(character) == 2 for scene in scenes[1::3] for character in scene.word)
    assert {scene.layout for scene in scenes[2::3]} == {SEVERAL}


def test_a_held_out_caption_is_of_its_kind_and_of_no_training_scene(trials):
    assert len(trials) == 4 * len(HARD | PLAIN)
    seen = {trial.scene for trial in training(10_000)}
    assert not seen & {trial.scene for trial in trials}
    assert len({trial.seed for trial in trials}) == len(trials)
    assert [is_chinese(trial.scene.word) for trial in trials] == 4 * [False] + 4 * [True] + 8 * [
        False
    ]


def test_every_question_counts_the_captions_of_its_kind(trials):
    counts = {name: sum(map(question.of, trials)) for name, question in QUESTIONS.items()}
    kinds = {"long words", "rare characters", "counts", "plain scenes"}
    assert counts.pop(THREE) + counts.pop("two or four equal shapes") == 4
    assert {name: 4 for name in kinds} | {
        name: 16 for name in counts if name not in kinds
    } == counts


def test_threes_are_a_kind_of_their_own_where_they_are_asked_for(trials):
    more = held_out(4, threes=True)
    assert more[:16] == trials and len(more) == 20
    assert all(QUESTIONS[THREE].of(trial) for trial in [*more[16:], *training(5, THREES)])


def test_answers_are_compared_caption_by_caption():
    before = {name: "0011" for name in QUESTIONS}
    after = before | {"long words": "1111", "background": "0001"}
    rows = compared(before, after)
    assert rows["long words"]["before"]["right"] == 2 and rows["long words"]["after"]["right"] == 4
    assert rows["long words"]["difference"]["difference"] == 0.5
    assert rows["background"]["difference"]["difference"] == -0.25
    assert rows["all that was trained"]["difference"]["of"] == 12
    assert rows["all that was trained"]["after"]["right"] == 8


def test_a_win_is_a_better_mark_from_the_same_noise_and_equal_ones_are_counted_apart():
    row = wins([0.5, 1.0, 0.5, 1.0], [1.0, 0.5, 0.75, 1.0])
    assert (row["right"], row["of"], row["equal"]) == (2, 3, 1)


def test_marks_and_answers_are_those_of_the_pictures(monkeypatch, trials):
    from PIL import Image

    from qwenimage_ref.posters.draw import draw

    drawn = [Image.fromarray(draw(trial.scene, 1)) for trial in trials]
    monkeypatch.setattr(hard_captions, "paint", lambda *_: drawn)
    bits = hard_captions.answers(None, trials, 6, 1.0)
    assert bits["marks"] == [1.0] * 16 and set("".join(bits[name] for name in QUESTIONS)) == {"1"}


def test_a_gain_is_claimed_where_it_is_beyond_luck_with_every_seed():
    def result(*differences):
        return {
            str(i): {
                "before": {"share": 0.25, "low": 0.2, "high": 0.3},
                "difference": {"difference": d, "low": d - 0.1, "high": d + 0.1},
            }
            for i, d in enumerate(differences)
        }

    rows = gains([result(0.2, 0.2, -0.2), result(0.3, 0.05, -0.3)])
    assert [row[-1] for row in rows] == ["gained", "", "lost"]
    assert rows[0][:4] == ["0", "25 (20 to 30)", "+20 (+10 to +30)", "+30 (+20 to +40)"]
