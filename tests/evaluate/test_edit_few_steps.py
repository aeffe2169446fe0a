"""Edits in few steps: what a sampling calls the pipeline with, and what is recorded of it."""

import contextlib
from types import SimpleNamespace

import pytest
from PIL import Image

from qwenimage_ref.evaluate import edit_chains, edit_displaced, edit_few_steps
from qwenimage_ref.evaluate.edit_few_steps import SAMPLINGS, painter
from qwenimage_ref.evaluate.editing import instructions
from qwenimage_ref.evaluate.few_steps import STUDENT, Sampling


def test_a_sampling_has_its_own_steps_and_guidance():
    calls = []

    def pipe(*arguments, image):
        calls.append((arguments, image))

    painter(pipe, Sampling(4))("make it red", " ", 9.0, 96, 128, 50, 3, image=["a"])
    assert calls == [(("make it red", " ", 1, 96, 128, 4, 3), ["a"])]


def test_the_record_compares_lightning_with_every_other_sampling(tmp_path, monkeypatch):
    wanted = {each.prompt: each for each in instructions(16)}
    used = []

    @contextlib.contextmanager
    def applied(pipe, sampling):
        used.append(sampling)
        yield

    def pipe(prompt, negative, guidance, height, width, steps, seed, image):
        """Obedient in 20 steps, and with the LoRA in half of the edits; else it copies"""
        obeys = steps == 20 or (used[-1] == STUDENT and seed % 2)
        return [Image.fromarray(wanted[prompt].wanted) if obeys else image[0]]

    pipes = SimpleNamespace(from_pretrained=lambda folder: pipe)
    monkeypatch.setattr(edit_few_steps, "QwenImage", pipes)
    monkeypatch.setattr(edit_few_steps, "applied", applied)
    monkeypatch.setattr(edit_few_steps, "terms_of", lambda pipe, count: {"captions": count})
    record = edit_few_steps.measure(tmp_path, 16, tmp_path / "record.json")
    assert used == [*SAMPLINGS]
    assert [share["both"]["right"] for share in record["shares"].values()] == [16, 0, 0, 8]
    assert [each["difference"] for each in record["beside"].values()] == [-0.5, 0.5, 0.5]
    assert not (tmp_path / "record.progress").exists()


@pytest.mark.parametrize("module", [edit_chains, edit_displaced, edit_few_steps])
def test_the_command_measures_a_folder_and_refuses_a_count_too_small(
    module, monkeypatch, capsys, tmp_path
):
    stored = {"after": {}, "nearer to scaled": {}, "shares": {}}
    calls = []
    monkeypatch.setattr(module, "measure", lambda *given: calls.append(given) or stored)
    assert module.main([str(tmp_path), "--count", "7"]) == 2
    assert capsys.readouterr().err == "--count must be at least 8, got 7\n" and not calls
    assert module.main([str(tmp_path), "--count", "9"]) == 0
    assert calls[0][:3] == (tmp_path, 9, module.RECORD)
    assert calls[0][3:] == ((None,) if module is edit_displaced else ())
