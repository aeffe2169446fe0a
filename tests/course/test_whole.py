"""Editions, blanks and the site on a full disk or under Ctrl-C: whole, or as they were before."""

import errno
import importlib.util
from pathlib import Path

import pytest

from qwenimage_ref.course.publish import build, capstone, editions, whole
from qwenimage_ref.repository import ROOT

FULL = OSError(errno.ENOSPC, "No space left on device")
SOURCES = build.sources()[:2]


def after(count: int, error: BaseException, then):
    """`then`, but its call number `count` leaves half of a file behind and raises."""
    calls = []

    def failing(path, text, *args, **kwargs):
        calls.append(path)
        if len(calls) < count:
            return then(path, text, *args, **kwargs)
        then(path, text[: len(text) // 2], *args, **kwargs)
        raise error

    return failing


def tree(folder: Path) -> dict[str, bytes]:
    """Path in the folder -> content, of every file."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(params=[FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def second_write_fails(request, monkeypatch):
    monkeypatch.setattr(Path, "write_text", after(2, request.param, Path.write_text))
    return (KeyboardInterrupt, OSError, ValueError)


def test_files_are_all_there_or_none(tmp_path, second_write_fails):
    with pytest.raises(second_write_fails):
        whole.write_files(tmp_path / "new", {"a/b": "one", "c": "two", "d": "three"})
    assert [*tmp_path.iterdir()] == []


def test_files_join_those_that_are_there(tmp_path):
    (tmp_path / "mine").write_text("kept")
    whole.write_files(tmp_path, {"a/b": "one", "c": "two"})
    assert tree(tmp_path) == {"a/b": b"one", "c": b"two", "mine": b"kept"}


def test_an_edition_that_does_not_fit_leaves_nothing_and_can_be_made_later(
    tmp_path, monkeypatch, second_write_fails
):
    with pytest.raises(second_write_fails):
        editions.write("student", tmp_path / "student", SOURCES)
    assert [*tmp_path.iterdir()] == []
    monkeypatch.undo()
    editions.write("student", tmp_path / "student", SOURCES)
    chapters = [name for name in tree(tmp_path) if name.endswith(".ipynb")]
    assert len(chapters) == len(SOURCES) < len(tree(tmp_path))  # and their drawings


def test_an_edition_that_does_not_fit_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", after(1, FULL, Path.write_text))
    with pytest.raises(editions.EditionError, match="could not be written .No space left on dev"):
        editions.write("student", tmp_path / "student", SOURCES)


def test_a_blank_that_does_not_fit_leaves_nothing_and_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Path, "write_text", after(40, FULL, Path.write_text))
    assert capstone.main(["blank", str(tmp_path / "blank")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not be written (No space left on device), and nothing was; make room" in line
    assert [*tmp_path.iterdir()] == []


def test_an_interrupted_blank_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_text", after(40, KeyboardInterrupt(), Path.write_text))
    with pytest.raises(KeyboardInterrupt):
        capstone.write_blank(tmp_path / "blank")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_replaces_another(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "page").write_text(name)
    whole.replace_folder(tmp_path / "new", tmp_path / "old")
    assert tree(tmp_path) == {"old/page": b"new"}


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "page").write_text("old")
    with pytest.raises(FileNotFoundError):
        whole.replace_folder(tmp_path / "nowhere", tmp_path / "old")
    assert tree(tmp_path) == {"old/page": b"old"}


def test_a_notebook_that_cannot_be_written_is_one_line_and_the_old_one_stays(tmp_path, monkeypatch):
    source = tmp_path / "src" / "00_one.py"
    source.parent.mkdir()
    source.write_text("# %%\nprint(1)\n")
    (tmp_path / "00_one.ipynb").write_text("old")

    def full(notebook, path):
        Path(path).write_text("half")
        raise FULL

    monkeypatch.setattr(build, "run", lambda notebook, folder: None)
    monkeypatch.setattr(build.nbformat, "write", full)
    with pytest.raises(build.BuildError, match="No space left on device.; make room. The old one"):
        build.build(source)
    assert tree(tmp_path) == {"00_one.ipynb": b"old", "src/00_one.py": source.read_bytes()}


@pytest.mark.skipif(importlib.util.find_spec("sphinx") is None, reason="Sphinx is not installed")
def test_a_site_that_does_not_fit_leaves_the_old_one_and_is_one_line(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "site" / "build.py")
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("old")

    def full(options):
        Path(options[-1]).mkdir()
        raise FULL

    monkeypatch.setattr(builder, "build_main", full)
    assert builder.main(["--to", str(tmp_path / "html")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not be written (No space left on device); make room. The old site stays" in line
    assert tree(tmp_path) == {"html/index.html": b"old"}
