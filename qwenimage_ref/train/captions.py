"""Captions of a folder's pictures: text files beside them, or the rows of a table.

Both give a picture's path, its caption and the row that it stood in, and one line for each that
cannot be used.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ..files import open_regular, parse_json, shorten
from ..pictures import FORMATS, SUFFIXES

TABLES = ("metadata.jsonl", "metadata.json", "metadata.csv")
PICTURE_COLUMNS = ("image", "file_name")
CAPTION_COLUMNS = ("prompt", "text", "caption")
LONGEST_CAPTION, LONGEST_TABLE = 1_000_000, 200_000_000  # bytes
OTHER_PICTURES = (  # suffixes of pictures that are not read
    ".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".tga", ".psd", ".dds", ".svg",
    ".ico", ".eps", ".ppm", ".pgm", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw",
)  # fmt: skip

NO_NAME = "names a picture or a caption that no file can have"

Rows = list[tuple[Path, str, dict]]


class DataError(ValueError):
    """A folder that cannot be trained on; one line names what is wrong with it."""


def read_text(path: Path, most: int) -> str:
    """UTF-8 without its byte order mark. Raises OSError or ValueError, which do not name it."""
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is longer than {most:,} bytes")
    return content.decode("utf-8-sig")


# -- text files


def beside(folder: Path) -> tuple[Rows, list[str]]:
    """Pictures and the text files of their names. Files whose names begin with a dot are none."""
    files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    pictures = [path for path in files if path.suffix.lower() in SUFFIXES]
    rows, problems = [], _other_kinds(files, pictures)
    for picture in pictures:
        text = picture.with_suffix(".txt")
        try:
            rows.append((picture, read_text(text, LONGEST_CAPTION), {}))
        except FileNotFoundError:
            problems.append(f"{picture.name} has no caption, {text.name}")
        except (OSError, ValueError) as error:
            problems.append(f"{text.name} cannot be read ({error})")
    return rows, problems


def _other_kinds(files: list[Path], pictures: list[Path]) -> list[str]:
    """One line for each picture of a kind that is not read: by its suffix, or by its caption."""
    waiting = {path.stem for path in files if path.suffix == ".txt"} - {p.stem for p in pictures}
    return [
        f"{path.name} is of a kind that is not read; convert it to one of {', '.join(FORMATS)}"
        for path in files
        if path.suffix.lower() in OTHER_PICTURES
        or (path.stem in waiting and path.suffix not in ("", ".txt") and path not in pictures)
    ]


# -- tables


def listed(table: Path) -> tuple[Rows, list[str]]:
    """The pictures and captions of a table.

    A picture's name is relative to the table's folder or absolute, and lies in that folder. Of a
    list of pictures the first counts. Raises DataError for a table that is no table.
    """
    rows, problems = [], []
    for number, row in enumerate(rows_of(table), 1):
        pair = row if isinstance(row, str) else _pair(table.parent, row)
        if isinstance(pair, str):
            problems.append(f"row {number} of {table.name} {pair}")
        else:
            rows.append((*pair, row))
    return rows, problems


def rows_of(table: Path) -> list[dict | str]:
    """Each row of a table, or what is wrong with it. Raises DataError for one that is no table."""
    try:
        text = read_text(table, LONGEST_TABLE)
        return list(READERS[table.suffix](text))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({error})") from None


def _csv_rows(text: str) -> Iterator[dict | str]:
    """Each row, or what is wrong with it. Line breaks inside quotes belong to the caption."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    columns = reader.fieldnames or []
    if len(set(columns)) < len(columns):
        raise ValueError("its header names a column twice")
    for row in reader:
        if extra := row.get(None):
            yield (
                f"has {len(columns) + len(extra)} fields, the header has {len(columns)}; "
                "put captions that contain commas in quotes"
            )
        else:
            yield row


def _json_rows(text: str) -> Iterator[dict | str]:
    """Each row, or what is wrong with it. Only a line feed ends a row."""
    for line in filter(str.strip, text.split("\n")):
        try:
            row = parse_json(line.encode())
            yield row if isinstance(row, dict) else {}
        except ValueError as error:
            yield f"cannot be read ({shorten([error])})"


def _json_list(text: str) -> Iterator[dict]:
    """Each row of a single list."""
    rows = parse_json(text.encode())
    if not isinstance(rows, list):
        raise ValueError("it must hold a list of rows")
    for row in rows:
        yield row if isinstance(row, dict) else {}


READERS = {".csv": _csv_rows, ".jsonl": _json_rows, ".json": _json_list}


def listed_in(value) -> list:
    """A value of a row -> the list that it is, or that stands in it as JSON, or itself alone"""
    if value is None or value == "":
        return []
    if isinstance(value, str) and value.startswith("["):
        try:
            value = parse_json(value.encode())
        except ValueError:
            pass  # files may be named so
    return value if isinstance(value, list) else [value]


def _pair(folder: Path, row: dict) -> tuple[Path, str] | str:
    """The picture's path and its caption, or what is wrong with the row."""
    name = next((row[key] for key in PICTURE_COLUMNS if row.get(key)), None)
    name = next(iter(listed_in(name)), None)
    caption = next((row[key] for key in CAPTION_COLUMNS if row.get(key)), None)
    if not isinstance(name, str) or not isinstance(caption, str):
        return f"names no {'caption' if isinstance(name, str) else 'picture'}"
    try:
        caption.encode()
        return inside(folder, name), caption
    except UnicodeEncodeError:
        return NO_NAME
    except ValueError as error:
        return str(error)


def inside(folder: Path, name: str) -> Path:
    """The path of a picture that a row names. Raises ValueError for one outside the folder."""
    try:
        name.encode()
        # careful: both resolved, or a relative folder would contain no absolute name
        place, root = (folder / name).parent.resolve(), folder.resolve()
    except (OSError, ValueError, RuntimeError):
        raise ValueError(NO_NAME) from None
    if not place.is_relative_to(root):
        raise ValueError("names a picture outside the folder")
    return folder / place.relative_to(root) / Path(name).name
