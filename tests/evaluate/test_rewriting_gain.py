"""The gain of rewriting: what is asked, how it is judged, and the record."""

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.evaluate import rewriting
from qwenimage_ref.evaluate.free_wordings import free_wording
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.posters.grammar import in_grammar
from qwenimage_ref.posters.scene import Scene, Shape


@pytest.fixture
def perfect(monkeypatch):
    """A painter that draws what a caption of the grammar says, and blank paper for other prompts"""
    monkeypatch.setattr(rewriting.lessons, "trained_scenes", frozenset)
    monkeypatch.setattr(rewriting, "terms_of", lambda pipe, captions: {"captions": captions})

    def paint(pipe, trial_list, steps, quiet):
        blank = Image.fromarray(np.full((128, 128, 3), 250, np.uint8))
        known = [in_grammar(trial.prompt) for trial in trial_list]
        return [draw(t.scene) if k else blank for t, k in zip(trial_list, known)]

    monkeypatch.setattr(rewriting, "paint", paint)


def test_a_painter_of_captions_alone_gains_on_every_prompt(perfect):
    rows = rewriting.measure(None, 8, quiet=True)["rows"]
    gain = rows["all"]["rewritten less as typed"]
    assert (gain["of"], gain["first_only"], gain["second_only"]) == (8, 8, 0)
    assert gain["p"] == pytest.approx(2 / 2**8, abs=1e-4)


def test_both_sets_of_templates_are_counted_apart(perfect):
    rows = rewriting.measure(None, 8, quiet=True)["rows"]
    assert rows["seen"]["as typed"]["of"] == rows["held out"]["as typed"]["of"] == 4


def test_an_unsaid_background_may_have_any_colour():
    trial = rewriting.Trial(Scene("navy", (Shape("star", "red"),), "large"), "en", "a red star", 0)
    result = dict.fromkeys(rewriting.ASKED, True) | {"background": False}
    assert rewriting.FreeTrial(trial, "seen", False).right(result)
    assert not rewriting.FreeTrial(trial, "seen", True).right(result)


def test_the_same_seed_words_a_scene_in_the_same_way():
    scene = Scene("navy", (Shape("star", "red"),), "large", "A7")
    assert free_wording(scene, "en", True, 3) == free_wording(scene, "en", True, 3)


def test_a_wrong_number_of_prompts_is_one_line_and_status_two(capsys):
    assert rewriting.main(["--prompts", "0"]) == 2
    assert capsys.readouterr().err == "--prompts must be at least 1, got 0\n"


def test_what_was_measured_on_these_weights_is_not_measured_again(tmp_path, perfect, monkeypatch):
    monkeypatch.setattr(rewriting.QwenImage, "from_pretrained", lambda folder: None)
    arguments = ["--prompts", "4", "--edition", "1", "--to", str(tmp_path / "rewrite.json")]
    assert rewriting.main(arguments) == 0
    monkeypatch.setattr(rewriting, "measure", lambda *_: pytest.fail("measured again"))
    assert rewriting.main(arguments) == 0
