"""The repository's set-up: dependencies, lock, layout, and what an import may cost."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import qwenimage_ref

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]


def lock_lines() -> list[str]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def locked() -> dict[str, str]:
    """Package -> version of requirements.lock."""
    pairs = (line.split("==") for line in lock_lines())
    return {canonicalize_name(name): version for name, version in pairs}


def tracked() -> list[Path]:
    """Every file that git tracks and that is there."""
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode:
        pytest.skip("this folder is not a git clone; what it tracks was not checked")
    return [ROOT / name for name in answer.stdout.split("\0") if name and (ROOT / name).is_file()]


IN_ROOT = set(
    ".ci .gitattributes .github .gitignore .pre-commit-config.yaml CHANGELOG.md CITATION.cff "
    "CONTRIBUTING.md LICENSE MANIFEST.in Makefile README.md README.zh.md SECURITY.md conftest.py "
    "data environment.yml notebooks pyproject.toml qwenimage_ref requirements.lock setup.py site "
    "tests variants".split()
)


def test_the_root_holds_what_is_listed_here_and_nothing_by_accident():
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} == IN_ROOT


# ---- dependencies


@pytest.mark.parametrize(
    "line",
    PROJECT["build-system"]["requires"] + sum(EXTRAS.values(), PROJECT["project"]["dependencies"]),
)
def test_the_lock_satisfies_what_pyproject_asks_for(line):
    wanted = Requirement(line)
    version = locked().get(canonicalize_name(wanted.name))
    assert version is not None, f"{wanted.name} is not in requirements.lock"
    assert version in wanted.specifier


def test_the_lock_is_exact_pins_and_nothing_else():
    odd = [line for line in lock_lines() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)]
    assert odd == [], "no hash, address, path, marker or local version: plain pip must find it"


def test_the_lock_names_each_package_once():
    names = [canonicalize_name(line.split("==")[0]) for line in lock_lines()]
    assert sorted(names) == sorted(set(names))


def test_the_lock_pins_the_torch_the_course_was_written_with():
    assert locked()["torch"] == "2.13.0"


def environment() -> tuple[list[str], list[str]]:
    """The conda lines and the pip lines of environment.yml."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    nested = [entry for entry in listed if isinstance(entry, dict)]
    assert len(nested) == 1
    return [entry for entry in listed if isinstance(entry, str)], nested[0]["pip"]


def test_the_conda_environment_has_every_extra_and_torch_first():
    _, pip_lines = environment()
    assert pip_lines == [f"torch=={locked()['torch']}", f"-e .[{','.join(EXTRAS)}]"]


def test_the_conda_environment_allows_exactly_the_declared_pythons():
    python = Requirement(environment()[0][0])
    assert python.name == "python"
    prefix = "Programming Language :: Python :: 3."
    declared = [name for name in PROJECT["project"]["classifiers"] if name.startswith(prefix)]
    minors = {int(name.removeprefix(prefix)) for name in declared}
    allowed = {minor for minor in range(30) if f"3.{minor}.1" in python.specifier}
    assert allowed == minors
    assert f"3.{min(minors)}" in SpecifierSet(PROJECT["project"]["requires-python"])
    assert f"3.{min(minors) - 1}.9" not in SpecifierSet(PROJECT["project"]["requires-python"])


# ---- what an import does


def run_python(code: str) -> str:
    """stdout of a fresh interpreter with one thread, started in the repository."""
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


# torch goes first, so that what is added to it is measured in the same process: two processes
# differ by more than the fifth that is allowed
COST = """
from time import process_time
start = process_time(); import torch
middle = process_time(); import qwenimage_ref
print((process_time() - start) / (middle - start))
"""


def test_importing_the_package_costs_at_most_a_fifth_more_than_importing_torch():
    assert min(float(run_python(COST)) for _ in range(3)) <= 1.2


OFFLINE = """
import sys
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise SystemExit(f"reached for the network: {event} {args}")
sys.addaudithook(refuse)
from qwenimage_ref import QwenImage
"""


def test_importing_the_pipeline_never_reaches_for_the_network():
    run_python(OFFLINE)


# ---- the repository

FILES = """
    README.md LICENSE CITATION.cff Makefile pyproject.toml requirements.lock environment.yml
    .ci/run .gitignore .gitattributes
"""


@pytest.mark.parametrize("name", FILES.split())
def test_the_repository_has_the_file(name):
    assert (ROOT / name).stat().st_size > 0


def test_the_licence_is_the_whole_of_apache_2():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.strip().startswith("Apache License")
    assert "9. Accepting Warranty or Additional Liability." in text
    assert PROJECT["project"]["license"] == "Apache-2.0"


def test_the_citation_has_the_version_and_licence_of_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    for key in ("version", "license"):
        assert citation[key] == PROJECT["project"][key]


def test_the_package_says_the_version_of_the_project():
    assert qwenimage_ref.__version__ == PROJECT["project"]["version"]


def make(*words: str, folder: Path = ROOT) -> str:
    """stdout of our make in `folder`, without the variables of a make that runs the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-f", str(ROOT / "Makefile"), *words]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_make_alone_lists_every_command():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.search(r"^\.PHONY:(.*)", text, re.M)[1].split()
    assert [line.split()[1] for line in make().splitlines()] == commands


def test_make_paint_hands_over_the_prompt_as_it_was_typed(tmp_path):
    fake = tmp_path / "qwenimage"
    fake.write_text('#!/bin/sh\nprintf "%s" "$2"\n')
    fake.chmod(0o755)
    prompt = 'a "red" circle, it\'s $HOME $(shell echo no) `id` 100% #1 红'
    for name in ("pyproject.toml", "requirements.lock", "made"):  # the last is newer: no install
        (tmp_path / name).touch()
    answer = make("paint", f"PROMPT={prompt}", "BIN=.", "STAMP=made", folder=tmp_path)
    assert answer == prompt


def test_the_tracked_files_stay_small_enough_for_a_quick_clone():
    sizes = {path: path.stat().st_size for path in tracked()}
    largest = f"the largest are {[str(path) for path in sorted(sizes, key=sizes.get)[-3:]]}"
    data = sum(size for path, size in sizes.items() if path.is_relative_to(ROOT / "data"))
    assert data < 75e6, largest  # painter and variants; a clone of depth 1 then takes 140 MB
    assert sum(sizes.values()) - data < 22e6, largest


# careful: a slash inside base64 (a stored picture) is no path, so what stands before it counts
MACHINE_PATH = re.compile(r"(?<![\w+/.\-~$}])/(?:work|root|home|tmp|Users)/[\w.]+")


def test_no_tracked_text_names_a_path_of_somebodys_machine():
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            text = content.decode("utf-8", errors="replace")
            found += [f"{path.relative_to(ROOT)}: {hit}" for hit in MACHINE_PATH.findall(text)]
    assert found == []


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_has_nothing_to_say(command):
    ruff = [sys.executable, "-m", "ruff", *command, "--output-format=concise", "."]
    answer = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout
