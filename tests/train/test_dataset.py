"""Folders of pictures with captions: what is read, at which size, and what is said of the rest."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from qwenimage_ref.train import captions, dataset
from qwenimage_ref.train.captions import TABLES, DataError
from qwenimage_ref.train.dataset import bucket, fitted, read_folder, weights_id


def picture(folder, name, size=(40, 32), colour="red", **options):
    Image.new("RGB", size, colour).save(folder / name, **options)


def problems_of(folder) -> list[str]:
    """What is said of a folder that also holds one good example."""
    picture(folder, "good.png")
    (folder / "good.txt").write_text("good")
    examples, problems = read_folder(folder, skip=True)
    assert [e.caption for e in examples] == ["good"]
    assert all(line.isprintable() and len(line) < 300 for line in problems)
    return problems


# -- text files beside pictures -------------------------------------------------------------------


def test_captions_stand_beside_their_pictures(tmp_path):
    for name in "ab":
        picture(tmp_path, f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(f" caption {name}\n")
    (tmp_path / "notes.md").write_text("no picture")
    examples, problems = read_folder(tmp_path)
    assert [e.caption for e in examples] == ["caption a", "caption b"] and problems == []


@pytest.mark.parametrize(
    "suffix, format",
    [
        (".png", "PNG"), (".jpg", "JPEG"), (".jpeg", "JPEG"), (".jfif", "JPEG"), (".WEBP", "WEBP"),
        (".webp", "WEBP"), (".bmp", "BMP"), (".tif", "TIFF"), (".tiff", "TIFF"),
    ],
)  # fmt: skip
def test_every_format_that_is_read_is_read_under_each_of_its_names(tmp_path, suffix, format):
    picture(tmp_path, f"a{suffix}", format=format)
    (tmp_path / "a.txt").write_text("a")
    assert [e.picture.name for e in read_folder(tmp_path)[0]] == [f"a{suffix}"]


@pytest.mark.parametrize("name", ["b.avif", "b.gif", "b.heic", "b.unheard-of", "b.JP2"])
def test_a_picture_of_another_kind_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"pixels")
    (tmp_path / "b.txt").write_text("a red square")
    (line,) = problems_of(tmp_path)
    assert line.startswith(f"{name} is of a kind that is not read; convert it to one of PNG, JPEG")


def test_a_picture_of_another_kind_is_named_without_a_caption_too(tmp_path):
    (tmp_path / "b.gif").write_bytes(b"pixels")
    assert len(problems_of(tmp_path)) == 1


def test_hidden_files_beside_the_pictures_are_no_examples(tmp_path):
    for name in ("._good.png", "._good.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert problems_of(tmp_path) == []


def test_a_byte_order_mark_is_no_part_of_a_caption(tmp_path):
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a red circle", encoding="utf-8-sig")
    assert read_folder(tmp_path)[0][0].caption == "a red circle"


def test_a_caption_in_another_encoding_is_named(tmp_path):
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a red circle", encoding="utf-16")
    (line,) = problems_of(tmp_path)
    assert line.startswith("a.txt cannot be read ('utf-8' codec")


def test_a_caption_without_an_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(captions, "LONGEST_CAPTION", 10)
    picture(tmp_path, "a.png")
    (tmp_path / "a.txt").write_text("a" * 11)
    assert problems_of(tmp_path) == ["a.txt cannot be read (it is longer than 10 bytes)"]


@pytest.mark.parametrize("name", ["a.png", "a.txt", *TABLES])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    if name != "a.png":
        picture(tmp_path, "a.png")
    if name == "a.png":
        (tmp_path / "a.txt").write_text("a")
    with pytest.raises(DataError, match="must be a regular file"):
        read_folder(tmp_path)


# -- tables ---------------------------------------------------------------------------------------


def table(folder, content: str | bytes, name="metadata.csv"):
    content = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(content)
    if not (folder / "a.png").exists():
        picture(folder, "a.png")
    return read_folder(folder)[0]


@pytest.mark.parametrize("columns", [("image", "prompt"), ("file_name", "text")])
def test_captions_stand_in_a_table(tmp_path, columns):
    picture(tmp_path, "a.png")
    row = dict(zip(columns, ("a.png", "caption, with a comma")))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerow(row)
    first = read_folder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n\n")
    assert read_folder(tmp_path) == first
    assert first[0][0].caption == "caption, with a comma"


@pytest.mark.parametrize("inside", ["\n", "\r\n", "\x85", "\u2028", "\u2029", "\x0b", "\x1c", ", "])
def test_what_stands_inside_quotes_reaches_the_caption(tmp_path, inside):
    (example,) = table(tmp_path, f'image,prompt\r\na.png,"a red{inside}circle"\r\n')
    assert example.caption == f"a red{inside}circle"


@pytest.mark.parametrize("inside", ["\x85", "\u2028", "\u2029"])
def test_only_a_line_feed_ends_a_row_of_json(tmp_path, inside):
    row = json.dumps({"image": "a.png", "prompt": f"a red{inside}circle"}, ensure_ascii=False)
    (example,) = table(tmp_path, row, "metadata.jsonl")
    assert example.caption == f"a red{inside}circle"


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path):
    (example,) = table(tmp_path, "\ufeffimage,prompt\na.png,a\n")
    assert example.caption == "a"


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("image,prompt\na.png,red, on white\n", "row 1 of metadata.csv has 3 fields, the header"),
        ("image,prompt\na.png\n", "row 1 of metadata.csv names no caption"),
        ("image,prompt\n,b\n", "row 1 of metadata.csv names no picture"),
        ("image,prompt,prompt\na.png,a,b\n", "its header names a column twice"),
        ('image,prompt\na.png,"a" b\n', "cannot be read"),
        ('image,prompt\na.png,"a\n', "cannot be read"),
        (b"image,prompt\na.png,\xff\n", "cannot be read"),
    ],
)
def test_a_table_that_would_lose_part_of_a_caption_is_refused(tmp_path, content, complaint):
    with pytest.raises(DataError, match=complaint):
        table(tmp_path, content)


@pytest.mark.parametrize(
    "content, complaint",
    [
        ('{"image": "a.png"}', "row 1 of metadata.jsonl names no caption"),
        ('{"prompt": "a"}', "row 1 of metadata.jsonl names no picture"),
        ('["a.png", "a"]', "row 1 of metadata.jsonl names no picture"),
        ('{"image": "b.png", "prompt": "b"}', "b.png is not there"),
        ('{"image": "../b.png", "prompt": "b"}', "names a picture outside the folder"),
        ('{"image": "/b.png", "prompt": "b"}', "names a picture outside the folder"),
        ('{"image": "..", "prompt": "b"}', "must be a regular file"),
        ('{"image": "b\\u0000.png", "prompt": "b"}', "is not there"),
        ('{"image": "a.png", "prompt": "\\ud800"}', "that no file can have"),
        ('{"image": "' + "b" * 300 + '.png", "prompt": "b"}', "1 of 1 examples cannot be used"),
        ('\n{"image": "a.png", "image": "b.png"}', "row 1 .* cannot be read .a key"),
        ("{", "row 1 of metadata.jsonl cannot be read"),
    ],
)
def test_a_row_that_says_too_little_or_something_wrong_is_named(tmp_path, content, complaint):
    with pytest.raises(DataError, match=complaint):
        table(tmp_path, content, "metadata.jsonl")


@pytest.mark.parametrize("relative", [True, False], ids=["relative folder", "absolute folder"])
@pytest.mark.parametrize("name", ["a.png", "sub/../a.png", "{}/a.png"])
def test_names_in_a_table_may_be_relative_or_absolute(tmp_path, monkeypatch, relative, name):
    monkeypatch.chdir(tmp_path.parent)
    folder = Path(tmp_path.name) if relative else tmp_path
    (tmp_path / "sub").mkdir()
    row = json.dumps({"image": name.format(tmp_path), "prompt": "a"})
    (example,) = table(folder, row, "metadata.jsonl")
    assert example.picture == folder / "a.png"


def test_a_problem_with_an_absolute_name_is_said_relative_to_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    rows = [{"image": str(tmp_path / "gone.png"), "prompt": "a"}, {"image": "a.png", "prompt": "a"}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    picture(tmp_path, "a.png")
    assert read_folder(Path(tmp_path.name), skip=True)[1] == ["gone.png is not there"]


def test_a_picture_that_is_a_link_is_taken_in_a_table_as_beside_a_text_file(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    picture(tmp_path / "elsewhere", "a.png")
    (tmp_path / "data" / "a.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    assert len(table(tmp_path / "data", "image,prompt\na.png,a\n")) == 1


# -- what cannot be used --------------------------------------------------------------------------


def spoiled(folder):
    """A folder with one good example and one of each fault that names a file."""
    picture(folder, "good.png")
    (folder / "good.txt").write_text("good")
    picture(folder, "silent.png")
    picture(folder, "empty.png")
    (folder / "empty.txt").write_text(" \n")
    (folder / "broken.png").write_bytes((folder / "good.png").read_bytes()[:60])
    (folder / "broken.txt").write_text("broken")
    picture(folder, "tiny.png", (40, 9))
    (folder / "tiny.txt").write_text("tiny")
    return folder


def test_what_cannot_be_used_is_named_and_left_out_only_on_request(tmp_path):
    with pytest.raises(DataError, match="4 of 5 examples cannot be used") as failure:
        read_folder(spoiled(tmp_path))
    assert "--skip-bad" in str(failure.value) and "\n" not in str(failure.value)
    examples, problems = read_folder(tmp_path, skip=True)
    assert [e.caption for e in examples] == ["good"]
    words = ("silent.png has no caption", "empty.png has an empty caption",
             "broken.png cannot be used", "tiny.png is 40x9 pixels")  # fmt: skip
    assert all(any(problem.startswith(word) for problem in problems) for word in words)


def test_a_folder_with_nothing_in_it_or_with_two_tables_is_refused(tmp_path):
    with pytest.raises(DataError, match="no picture with a caption"):
        read_folder(tmp_path)
    for name in TABLES:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match="holds both"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        read_folder(tmp_path / "none")


# -- sizes and weights ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size, pixels, wanted",
    [
        ((128, 128), 128 * 128, (128, 128)),
        ((1280, 1280), 128 * 128, (128, 128)),
        ((100, 50), 128 * 128, (96, 48)),  # never enlarged
        ((1920, 1080), 1024 * 1024, (1344, 768)),
        ((4000, 20), 128 * 128, (1808, 16)),
        ((17, 16), 1024 * 1024, (16, 16)),
    ],
)
def test_a_picture_is_trained_at_a_size_near_its_own(size, pixels, wanted):
    assert bucket(*size, pixels) == wanted


def test_a_picture_is_cut_at_the_middle(tmp_path):
    wide = Image.new("RGB", (96, 32), "red")
    wide.paste("blue", (32, 0, 64, 32))
    wide.save(tmp_path / "a.png")
    cut = fitted(tmp_path / "a.png", 96 * 32)
    assert cut.size == (96, 32) and cut.getpixel((48, 16)) == (0, 0, 255)


def test_the_id_of_weights_depends_on_files_and_not_on_their_order(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).write_text(name)
    first, listing = weights_id(tmp_path), Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *a: sorted(listing(*a), reverse=True))
    assert weights_id(tmp_path) == first
    (tmp_path / "b").write_text("changed")
    assert weights_id(tmp_path) != first


def test_a_picture_is_encoded_once_and_a_damaged_encoding_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_states", lambda pipe, caption: torch.ones(2, 3))
    monkeypatch.setattr(
        dataset, "_encode", lambda *_: {"latents": torch.ones(16, 2, 2), "txt": torch.ones(2, 3)}
    )
    picture(tmp_path, "a.png")
    example = dataset.Example(tmp_path / "a.png", "a")
    folder = dataset.RunFolder(tmp_path / "runs")
    first = dataset.encode(None, [example], folder, 256)
    monkeypatch.setattr(dataset, "_encode", None)
    again = dataset.encode(None, [example], folder, 256)
    assert torch.equal(first[0][0].latents, again[0][0].latents)
    files = sorted((tmp_path / "runs" / "encoded").iterdir())
    assert len(files) == 2 and not (tmp_path / "runs" / "unfinished").exists()
    for file in files:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged .*; delete it and it will be rebuilt"):
        dataset.encode(None, [example], folder, 256)
