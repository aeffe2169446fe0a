"""The score: honest intervals, and a painter that is right or wrong is told so."""

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.posters import evaluate as ev
from qwenimage_ref.posters.draw import draw

POCKET = ev.Path(__file__).parents[1] / "data" / "pocket"


class PerfectPainter:
    """Draws what trials ask for; `shift` gives every prompt its neighbour's picture."""

    class tokenizer:
        encode = staticmethod(str.split)

    def __init__(self, count, shift=0):
        made = ev.trials(count)
        scenes = [trial.scene for trial in made]
        self.pictures = {
            trial.prompt: Image.fromarray(draw(scenes[(i + shift) % count], i))
            for i, trial in enumerate(made)
        }

    def __call__(self, prompts, seed, **_):
        assert len(seed) == len(prompts)
        return [self.pictures[prompt] for prompt in prompts]


def test_a_perfect_painter_scores_everything():
    result = ev.evaluate(PerfectPainter(40), 40, quiet=True)
    assert all(row["right"] == row["of"] for row in result["rows"].values())


def test_a_painter_of_the_wrong_scenes_scores_nothing():
    result = ev.evaluate(PerfectPainter(40, shift=1), 40, quiet=True)
    assert result["rows"]["whole scene"]["right"] == 0
    assert result["rows"]["word exactly right"]["right"] == 0


def test_trials_are_a_fair_mixture():
    made = ev.trials(1000)
    shares = {
        "word": np.mean([bool(t.scene.word) for t in made]),
        "zh": np.mean([t.language == "zh" for t in made]),
        "unseen": np.mean([t.scene.unseen for t in made]),
    }
    assert shares == pytest.approx({"word": 0.64, "zh": 1 / 3, "unseen": 0.31}, abs=0.06)


@pytest.mark.parametrize(
    "right, of, low, high",
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_the_interval_is_wilson_s(right, of, low, high):
    found = ev.interval(right, of)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=2e-4)


def test_no_trials_no_claim():
    assert ev.interval(0, 0) == {"right": 0, "of": 0, "share": None, "low": 0.0, "high": 1.0}
    assert " - " in ev.table(
        {"captions": 0, "steps": 1, "cfg": 1, "rows": {"a": ev.interval(0, 0)}}
    )


def test_the_sheet_puts_pictures_in_rows_and_fills_up_with_white():
    pictures = [np.full((4, 5, 3), i, np.uint8) for i in range(3)]
    sheet = ev.contact_sheet(pictures, columns=2)
    assert sheet.shape == (8, 10, 3)
    assert (
        (sheet[:4, 5:] == 1).all() and (sheet[4:, :5] == 2).all() and (sheet[4:, 5:] == 255).all()
    )


def test_the_shipped_model_paints_most_held_out_scenes_right():
    # three standard errors below the record in data/measurements/pocket_eval.json
    result = ev.evaluate(QwenImage.from_pretrained(POCKET), 24, quiet=True)
    assert result["rows"]["whole scene"]["right"] >= 20
    word = result["rows"]["word exactly right"]
    assert word["right"] >= 0.4 * word["of"]
