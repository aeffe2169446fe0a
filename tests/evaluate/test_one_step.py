"""Students of one step against the base: what is compared, and the command."""

import json

import pytest
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.evaluate import one_step
from qwenimage_ref.repository import POCKET


def plain(level: int) -> Image.Image:
    return Image.new("RGB", (4, 4), (level,) * 3)


def test_the_variety_of_a_prompt_is_the_mean_distance_of_two_of_its_pictures():
    pictures = [plain(level) for level in (0, 30, 60, 7, 7, 7)]
    assert one_step.apart([None] * 6, pictures) == [40.0, 0.0]


def test_rows_have_intervals_and_the_difference_from_the_base():
    results = {
        one_step.BASE: {"scene": "1010", "word": "1-0-", "apart": [1.0, 2.0]},
        "dmd2": {"scene": "1111", "word": "1-1-", "apart": [0.5, 1.0]},
    }
    table = one_step.rows(results)
    assert table["dmd2"]["scene"]["share"] == 1 and table["dmd2"]["word"]["of"] == 2
    assert table["dmd2"]["scene less the base's"]["difference"] == 0.5
    assert table["dmd2"]["variety"]["mean"] == 0.75
    assert "scene less the base's" not in table[one_step.BASE]


def test_a_student_is_taken_off_again_with_its_schedule(tmp_path):
    pipe = QwenImage.from_pretrained(POCKET)
    own = pipe.scheduler
    adapter = lora.inject(pipe.transformer, lora.TARGETS["diffusers"], 1)
    lora.save(pipe.transformer, tmp_path / "student.safetensors")
    adapter.remove()
    with one_step.student(pipe, tmp_path / "student.safetensors"):
        assert len(lora.adapters(pipe.transformer)) == 1
        assert pipe.scheduler == SchedulerConfig.lightning()
    assert lora.adapters(pipe.transformer) == [] and pipe.scheduler is own


def test_the_command_writes_teacher_base_and_students(tmp_path, monkeypatch, capsys):
    file = tmp_path / "a.safetensors"
    pipe = QwenImage.from_pretrained(POCKET)
    lora.inject(pipe.transformer, lora.TARGETS["diffusers"], 1)
    lora.save(pipe.transformer, file)

    def measured(pipe, captions, steps, cfg):
        asked.append((steps, cfg, len(lora.adapters(pipe.transformer))))
        return {"scene": "11", "word": "1-", "apart": [1.0, 2.0]}

    asked = []
    monkeypatch.setattr(one_step, "measure", measured)
    arguments = [f"dmd2={file}", "--captions", "2", "--to", str(tmp_path / "record.json")]
    assert one_step.main(arguments) == 0
    assert asked == [(20, 4.0, 0), (1, 1.0, 0), (1, 1.0, 1)]
    record = json.loads((tmp_path / "record.json").read_text())
    assert [*record["rows"]] == [one_step.TEACHER, one_step.BASE, "dmd2"]
    assert {"machine", "versions", "commit", "students"} <= record.keys()


@pytest.mark.parametrize("students", [["dmd2"], ["base=file"], ["dmd2=file", "--captions", "1"]])
def test_what_cannot_be_measured_is_one_line(students, capsys):
    assert one_step.main(students) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
