"""The built distributions: what they contain, and that they work outside the repository."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")
BUILD = """
from setuptools import build_meta
print(build_meta.build_{kind}({folder!r}))
"""
PROMPT = "a red circle left of a blue star on a white background"
# `python -m` programs that another program starts with arguments
WORKERS = {
    "fresh_process",
    "learners_package",
    "lora_tasks",
    "objectives_tasks",
    "ranks",
    "streaming_tasks",
}


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a "wheel" or an "sdist" without isolation, offline, and return its file."""
    code = BUILD.format(kind=kind, folder=str(folder))
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return folder / answer.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The source distribution, built from a copy so that the repository stays clean."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(ROOT / name, source)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "qwenimage_ref", source / "qwenimage_ref", ignore=skip)
    shutil.copytree(ROOT / "data" / "pocket", source / "data" / "pocket")
    return build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """The wheel, built from the source distribution as `pip install` of that file would."""
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
    (source,) = unpacked.iterdir()
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that holds what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run_installed(installed: Path, folder: Path, code: str, *arguments):
    """Run Python code with the installed package, in a folder outside the repository."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


def names_of(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_module(wheel):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "qwenimage_ref").rglob("*.py")}
    assert modules <= names_of(wheel)


def test_the_wheel_holds_the_pocket_weights_unchanged(wheel):
    pocket = ROOT / "data" / "pocket"
    files = [path for path in pocket.rglob("*") if path.is_file()]
    with zipfile.ZipFile(wheel) as archive:
        for path in files:
            stored = archive.read(f"qwenimage_ref/data/pocket/{path.relative_to(pocket)}")
            assert stored == path.read_bytes(), path.name


def test_the_wheel_holds_nothing_else_beside_its_metadata(wheel):
    others = {name for name in names_of(wheel) if not name.startswith("qwenimage_ref/")}
    assert all(".dist-info/" in name for name in others)


def test_the_wheel_is_not_larger_than_the_weights_it_carries(wheel):
    assert wheel.stat().st_size < 33e6


def test_the_installed_package_paints_outside_the_repository(installed, tmp_path):
    code = "import sys; from qwenimage_ref.cli import main; sys.exit(main())"
    answer = run_installed(installed, tmp_path, code, "paint", PROMPT, "-o", "x.png", "--steps", 2)
    assert answer.returncode == 0, answer.stderr
    assert Image.open(tmp_path / "x.png").size == (128, 128)


def test_the_installed_command_has_the_version_of_its_metadata(installed, tmp_path):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    version = re.search(r"^Version: (.+)$", metadata.read_text(encoding="utf-8"), re.M)[1]
    code = "import sys; from qwenimage_ref.cli import main; sys.exit(main())"
    printed = run_installed(installed, tmp_path, code, "--version").stdout
    assert printed.split()[-1] == version


def test_an_installed_package_reads_its_own_weights_and_a_checkout_reads_its_own(
    installed, tmp_path
):
    code = "from qwenimage_ref.repository import POCKET; print(POCKET)"
    printed = run_installed(installed, tmp_path, code).stdout.strip()
    assert Path(printed) == installed.resolve() / "qwenimage_ref" / "data" / "pocket"
    assert run_installed(ROOT, tmp_path, code).stdout.strip() == str(ROOT / "data" / "pocket")


# each program is run as `python -m` runs it, all in one process, because importing torch is slow
RUN_ALL = """
import contextlib, io, json, runpy, sys
statuses = {}
for module in sys.argv[1:]:
    sys.argv = [module]
    sys.modules.pop(module, None)  # an earlier program may have imported it
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code
    except BaseException as error:
        status = repr(error)
    statuses[module] = status, printed.getvalue()
print(json.dumps(statuses))
"""


def programs() -> list[str]:
    """The modules of the package that `python -m` runs, except for workers and the command."""
    paths = [
        path
        for path in sorted((ROOT / "qwenimage_ref").rglob("*.py"))
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    ]
    modules = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [
        module
        for module in modules
        if module.rpartition(".")[2] not in WORKERS and ".cli" not in module
    ]


def test_a_program_that_needs_the_repository_says_so_in_one_line(installed, tmp_path):
    answer = run_installed(installed, tmp_path, RUN_ALL, *programs())
    assert answer.returncode == 0, answer.stderr
    statuses = json.loads(answer.stdout.splitlines()[-1])
    assert statuses.keys() == set(programs()) and statuses
    for module, (status, printed) in statuses.items():
        assert status == 2, f"{module}: {status} {printed}"
        assert re.fullmatch(r"\w+\.py: .* run it in a clone\n", printed), f"{module}: {printed}"


@pytest.mark.parametrize("command", [["validate", "pocket"], ["bench"], ["course"]])
def test_a_command_that_needs_the_repository_says_so_in_one_line(installed, tmp_path, command):
    code = "import sys; from qwenimage_ref.cli import main; sys.exit(main())"
    answer = run_installed(installed, tmp_path, code, *command)
    assert answer.returncode == 2
    (line,) = answer.stderr.splitlines()
    assert re.search(r"clone", line)


def test_an_installed_package_does_not_claim_the_commit_of_another_repository(installed):
    subprocess.run(["git", "init", "-q", str(installed)], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    commit = [
        "git",
        "-C",
        str(installed),
        *identity,
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "other",
    ]
    subprocess.run(commit, check=True)
    code = "from qwenimage_ref.provenance import provenance; print(provenance()['commit'])"
    assert run_installed(installed, installed, code).stdout.strip() == "unknown"
