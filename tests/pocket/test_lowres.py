"""The LoRA for pictures of half the target's sides: its examples, and the run in miniature"""

import dataclasses

import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.conditions import edit_prefix, spread_positions
from qwenimage_ref.evaluate import edit_displaced, editing
from qwenimage_ref.pocket import edit_lessons, editor, lowres
from qwenimage_ref.pocket.edit_lessons import EDIT, LESSONS, batch
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train.loop import Recipe

LESSON = dataclasses.replace(
    lowres.LESSON, recipe=Recipe(steps=2, batch=2, lr=1e-2, warmup=1), examples=8
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An editor that has learned nothing"""
    folder = tmp_path_factory.mktemp("editor") / "start"
    editor.new_editor(POCKET, folder, LESSON)
    return folder


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    monkeypatch.setattr(edit_lessons, "CHUNK", 8)


def test_pictures_have_half_the_sides_on_the_vaes_path_alone(folder, tmp_path):
    pipe = QwenImage.from_pretrained(folder)
    drawn = batch(pipe, LESSON, lowres.HalfSized(pipe, LESSON, tmp_path), 0)
    usual = batch(pipe, LESSON, edit_lessons.Latents(pipe, LESSON, tmp_path / "usual"), 0)
    (small,) = drawn.conditions
    assert small.shape[2] * 2 == drawn.data.shape[2] and small.shape[3] * 2 == drawn.data.shape[3]
    assert torch.equal(drawn.patches, usual.patches)
    assert (drawn.data - usual.data).abs().max() < 0.05  # in bf16, encoded in other batches
    assert lowres.halved(Image.new("RGB", (112, 96))).size == (56, 48)


def test_the_loss_depends_on_where_the_picture_lies(folder, tmp_path):
    pipe = QwenImage.from_pretrained(folder)
    drawn = batch(pipe, LESSON, lowres.HalfSized(pipe, LESSON, tmp_path), 0)
    prefix = edit_prefix(pipe.tokenizer)
    both = [
        editor.loss_of(editor.Editor(pipe), prefix, drawn, positions).item()
        for positions in (None, spread_positions)
    ]
    assert abs(both[0] - both[1]) > 1e-6


def test_the_adapter_alone_learns_and_resumes_to_the_bit(folder, tmp_path):
    def adapted(name, *stops):
        for until in stops:
            pipe = QwenImage.from_pretrained(folder)
            adapter = lowres.train(pipe, tmp_path / name, LESSON, quiet=True, until=until)
        return adapter.state_dict(), editor.Editor(pipe).state_dict()

    (whole, after), (halves, _) = adapted("whole", 2), adapted("halves", 1, 2)
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    assert any(tensor.abs().max() > 0 for name, tensor in whole.items() if name.endswith("B"))
    before = editor.Editor(QwenImage.from_pretrained(folder)).state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_command_writes_a_lora_that_the_survey_reads(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lowres, "LESSON", LESSON)
    monkeypatch.setattr(lowres.train, "__defaults__", (LESSON,))
    assert lowres.main([str(folder), "--runs", str(tmp_path)]) == 0
    file = tmp_path / "lowres_fix.safetensors"
    assert str(file) in capsys.readouterr().out
    used = []

    def displacements(pipe, asked, way):
        used.append((way, len(lora.adapters(pipe.transformer))))
        return [0.0] * len(asked)

    monkeypatch.setattr(edit_displaced, "displacements", displacements)
    record = tmp_path / "record.json"
    options = [str(folder), "--count", "8", "--to", str(record)]
    assert edit_displaced.main([*options, "--lora", str(file)]) == 0
    ways = [*edit_displaced.WAYS, edit_displaced.ADAPTED]
    assert used == [(way, int(way == edit_displaced.ADAPTED)) for way in ways]


def test_no_instruction_is_of_another_lesson_nor_measured_on():
    lessons = [*LESSONS.values(), lowres.LESSON]
    ends = {(lesson.first, lesson.first + lesson.examples) for lesson in lessons}
    first, last = lowres.LESSON.first, lowres.LESSON.first + lowres.LESSON.examples
    assert all(end <= first or start >= last for start, end in ends - {(first, last)})
    assert last < min(editing.FIRST_SEED, edit_displaced.FIRST_SEED)
    assert lowres.LESSON.pipeline == EDIT
