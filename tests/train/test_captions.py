"""Tables of captions: every row arrives as it stands, or is named."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.dataset import read_folder


def picture(folder, name, size=(40, 32), colour="red", **options):
    Image.new("RGB", size, colour).save(folder / name, **options)


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


def test_a_problem_with_an_absolute_name_is_named_relative_to_the_folder(tmp_path, monkeypatch):
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
