"""`qwenimage paint`: notes on what the pocket model was never trained on, --rewrite and --quiet."""

import json

import pytest
from PIL import Image

from qwenimage_ref import QwenImage, cli

CAPTION = "a red circle left of a blue star on a white background"
FREE = "To the right of a scarlet disc sits a cobalt star; pure white backdrop"


class Recorder:
    """A pipeline that stores the prompt and paints a blank picture."""

    recommended = {"num_inference_steps": 2}
    prompts: list = []

    def __call__(self, prompt, width=None, height=None, **_):
        self.prompts.append(prompt)
        return [Image.new("RGB", (width or 128, height or 128))]


@pytest.fixture
def paint(tmp_path, monkeypatch, capsys):
    """-> a function from arguments to the prompt that was painted and the lines on stderr"""
    recorder = Recorder()
    monkeypatch.setattr(QwenImage, "from_pretrained", lambda *_, **__: recorder)
    lessons = {"painter": {}, "everything": {"first": 0, "mixture": {"sizes": [[128, 128]]}}}
    folders = {"pocket": {"painter": lessons["painter"]}, "second": lessons, "official": None}
    for name, record in folders.items():
        (tmp_path / name).mkdir()
        index = json.dumps({"_class_name": "QwenImagePipeline"})
        (tmp_path / name / "model_index.json").write_text(index, encoding="utf-8")
        if record:
            text = json.dumps({"lessons": record})
            (tmp_path / name / "training.json").write_text(text, encoding="utf-8")

    def run(prompt: str, *options: str, weights: str = "pocket") -> tuple[str, list[str]]:
        out, folder = str(tmp_path / "out.png"), str(tmp_path / weights)
        assert cli.main(["paint", prompt, "-o", out, "--weights", folder, *options]) == 0
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        return recorder.prompts[-1], [x for x in lines if x and not x.startswith("painting:")]

    return run


def test_a_caption_of_the_grammar_is_painted_without_a_note(paint):
    assert paint(CAPTION) == (CAPTION, [])


def test_words_that_were_never_trained_are_named_in_one_line(paint):
    prompt, (line,) = paint(f"a fluffy cat beside {CAPTION}")
    assert prompt.startswith("a fluffy cat")
    assert "the pocket model has never met fluffy, cat, beside;" in line


def test_known_words_in_a_new_order_are_noted_too(paint):
    _, (line,) = paint("on a white background a red circle left of a blue star")
    assert "in no such sentence; --rewrite" in line


def test_a_prompt_that_rewriting_cannot_help_gets_no_advice_to_rewrite(paint):
    _, (line,) = paint("a fluffy cat")
    assert line.endswith("has never met fluffy, cat")


def test_a_size_that_was_never_trained_is_noted(paint):
    _, (line,) = paint(CAPTION, "--size", "160x112")
    assert line.endswith("never trained at 160x112; it knows 128x128")


def test_the_notes_follow_the_edition_in_the_folder_s_record(paint):
    equal = "three red circles on a white background"
    assert paint(equal, weights="second")[1] == []
    assert "three, circles" in paint(equal)[1][0]


def test_quiet_silences_the_notes(paint):
    assert paint("a fluffy cat", "--size", "64x64", "--quiet")[1] == []
    assert paint(FREE, "--rewrite", "--quiet") == (CAPTION, [])


def test_other_weights_get_no_notes(paint):
    assert paint("a fluffy cat", "--size", "64x64", weights="official")[1] == []


def test_rewriting_prints_what_the_pocket_model_gets(paint):
    prompt, (line,) = paint(FREE, "--rewrite")
    assert prompt == CAPTION
    assert f"painting {CAPTION} (rewritten into the pocket model's grammar)" in line


def test_rewriting_names_what_it_left_out_and_what_it_assumed(paint):
    prompt, (line,) = paint("a fluffy red circle", "--rewrite")
    assert prompt == "a large red circle on a white background"
    assert line.endswith("without fluffy; assumed: a white background)")


def test_rewriting_for_other_weights_appends_the_magic_phrase_and_says_so(paint):
    prompt, (line,) = paint("a cat", "--rewrite", weights="official")
    assert prompt == "a cat, Ultra HD, 4K, cinematic composition."
    assert line.endswith(
        "painting a cat, Ultra HD, 4K, cinematic composition. (a magic phrase appended)"
    )


def test_without_the_option_nothing_is_rewritten(paint):
    assert paint(FREE)[0] == FREE
    assert paint("a cat", weights="official")[0] == "a cat"
