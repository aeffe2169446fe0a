"""Chapters of checkers and answers are imported one by one."""

import subprocess
import sys

import pytest

from qwenimage_ref.course import answers, check, lazy
from qwenimage_ref.repository import ROOT

# in a process of its own, so that no module of this one is imported anew
LOADED = """
import importlib, sys
for number in sys.argv[1:]:
    for name in [name for name in sys.modules if name.startswith("qwenimage_ref.course.")]:
        del sys.modules[name]
    importlib.import_module(f"qwenimage_ref.course.check.chapter_{number}")
    numbers = {name[-2:] for name in sys.modules if ".chapter_" in name}
    assert numbers == {number}, f"chapter {number} loads {sorted(numbers)}"
"""


def test_a_checker_loads_its_own_chapter_alone():
    numbers = [chapter.__name__[-2:] for chapter in lazy.chapters(check.__name__)]
    command = [sys.executable, "-c", LOADED, *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_chapter_of_the_checkers_has_its_answers():
    kinds = [lazy.chapters(module.__name__) for module in (check, answers)]
    checkers, solutions = ([chapter.__name__[-2:] for chapter in kind] for kind in kinds)
    assert checkers == solutions and len(checkers) == 32


def test_every_exercise_has_its_answer():
    exercises = {name.upper() for name in dir(check) if name.startswith("ex_")}
    assert exercises == {name for name in dir(answers) if name.startswith("EX_")}
    assert len(exercises) == 115


@pytest.mark.parametrize("name", ["ex_05_nothing", "ex_99_rotate", "nothing", "_private_05_"])
def test_a_name_that_no_chapter_has_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(check, name)
