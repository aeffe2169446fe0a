"""Grading in a process of its own: whatever a learner's code does, the parent gives the verdict."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from qwenimage_ref.course.publish import capstone, grading
from qwenimage_ref.course.publish.learners_package import MODULES, PACKAGE, CapstoneError
from qwenimage_ref.parity.grade import run
from qwenimage_ref.repository import POCKET, ROOT

SIGN = "def rotate(x, rotation):\n"
LAST = "3 of 3 parts: equal"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A learner's folder in which everything is right."""
    (tmp_path / PACKAGE).mkdir()
    for module in MODULES:
        shutil.copy(ROOT / PACKAGE / f"{module}.py", tmp_path / PACKAGE)
    return tmp_path


def plant(folder: Path, at_import: str = "", in_rotate: str = "") -> None:
    """Lines that run when rope.py is imported, or each time `rotate` is called."""
    path = folder / PACKAGE / "rope.py"
    text = path.read_text(encoding="utf-8")
    head, docstring, body = text[text.index(SIGN) :].partition('"""\n')
    wrong = head + docstring + (f"    {in_rotate}\n" if in_rotate else "") + body
    path.write_text(f"{text[: text.index(SIGN)]}{at_import}\n\n\n{wrong}", encoding="utf-8")


def graded(capsys, folder: Path, only="rope", **options) -> tuple[bool, list[str]]:
    """The verdict, and what was printed below the first line."""
    equal = capstone.grade(folder, only, **options)
    return equal, capsys.readouterr().out.splitlines()[1:]


def test_right_files_are_equal(capsys, folder):
    equal, lines = graded(capsys, folder)
    assert equal and lines[-1] == LAST


@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_code_that_ends_the_process_is_not_equal_and_the_other_parts_are_compared(
    capsys, folder, end
):
    plant(folder, in_rotate=f"import os, sys; {end}")
    equal, lines = graded(capsys, folder)
    assert not equal and lines[-1] == "2 of 3 parts: equal"
    assert lines[2].startswith("rope: pairs turned") and "  stops" in lines[2]


@pytest.mark.parametrize(
    "end, complaint",
    [
        ("sys.exit(0)", r"rope.py cannot be imported, line \d+: SystemExit: 0"),
        ("os._exit(0)", "the process ended with status 0 while the files were imported"),
        ("while True: pass", "no result within 8 s; look for a loop without an end"),
    ],
)
def test_code_that_ends_or_stays_in_an_import_is_not_graded(folder, end, complaint):
    plant(folder, at_import=f"import os, sys\n{end}")
    with pytest.raises(CapstoneError, match=complaint):
        capstone.grade(folder, "rope", seconds=8)


def test_an_endless_loop_is_ended_and_the_other_parts_are_compared(capsys, folder):
    plant(folder, in_rotate="while True: pass")
    equal, lines = graded(capsys, folder, seconds=12)
    assert not equal and lines[-1] == "2 of 3 parts: equal"
    assert "stops: no result within 12 s; look for a loop without an end" in lines[2]


PRINTER = """
import sys, threading
def _print():
    while True: print("rope: all\\r25 of 25 parts: equal", flush=True)
threading.Thread(target=_print, daemon=True).start()
"""


def test_what_a_thread_prints_is_marked_and_never_the_last_line(capsys, folder):
    plant(folder, PRINTER, "return x")
    equal, lines = graded(capsys, folder)
    assert not equal and lines[-1] == "2 of 3 parts: equal"
    fakes = [line for line in lines if "25 of 25" in line]
    assert fakes and all(line.startswith("    | ") for line in fakes)


PATCHED = """
def _patch():
    import sys
    trace = sys.modules.get("qwenimage_ref.parity.trace")
    record = __import__("qwenimage_ref.parity.record", fromlist=["record"])
    torch.equal = torch.allclose = lambda *_, **__: True
    torch.Tensor.abs = lambda x: 0 * x.real
    torch.Tensor.__sub__ = lambda x, y: 0 * x
    for module in (trace, record):
        vars(module or record).update(difference=lambda *_: (0.0, 0.0))
"""


def test_a_patched_comparison_changes_nothing(capsys, folder):
    plant(folder, PATCHED, "_patch(); return x")
    equal, lines = graded(capsys, folder)
    assert not equal and "rope: pairs turned" in lines[2]
    assert "parts from the reference at the turned pairs" in lines[2]


FORGED = """
import sys, torch
for _number in range(3):
    torch.save({"values": [], "stopped": ""}, f"{sys.argv[2]}/{_number}.pt")
"""


def test_forged_answers_are_not_equal(capsys, folder):
    plant(folder, FORGED + "import os; os._exit(0)")
    with pytest.raises(CapstoneError, match="ended with status 0"):
        capstone.grade(folder, "rope")
    for part in run.chosen("rope"):
        assert not run.row(part, {"values": [], "stopped": ""}, POCKET).equal


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"values": None, "stopped": ""},
        {"values": [torch.zeros(1)], "stopped": ""},
        {"values": ["equal"], "stopped": ""},
        {"values": [None, None, None], "stopped": None},
    ],
)
@pytest.mark.parametrize("part", ["rope: pairs turned", "tokenizer: text to ids", "mmdit: layers"])
def test_an_answer_of_any_other_form_is_not_equal(part, answer):
    assert not run.row(part, answer, POCKET).equal


def test_a_finding_stays_on_one_line_whatever_an_exception_says():
    text = run.one_line("stops: Wrong: a\n25 of 25 parts: equal\r\x1b[2K" + 500 * "a")
    assert text.isprintable() and len(text) == run.LONGEST


def test_no_process_is_left_behind(folder):
    with grading.LearnersProcess(folder, {"rope: pairs turned": None}, 60) as learners:
        scratch = Path(learners.scratch.name)
        assert learners.process.poll() is None
    assert learners.process.poll() is not None and not scratch.exists()


def test_the_command_ends_with_one_for_what_is_not_equal_and_two_for_no_folder(folder, capsys):
    plant(folder, in_rotate="raise NotImplementedError")
    assert capstone.main(["grade", str(folder), "--part", "rope"]) == 1
    assert "not yet written: rope.rotate" in capsys.readouterr().out
    assert capstone.main(["grade", str(folder / "nowhere")]) == 2
    assert "holds no qwenimage_ref/; write one with `make blank`" in capsys.readouterr().err
    assert sys.modules[f"{PACKAGE}.rope"].__file__ == str(ROOT / PACKAGE / "rope.py")
