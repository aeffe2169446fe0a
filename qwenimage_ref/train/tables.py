"""Tables whose rows hold more than a picture and its caption, and lists of prompts.

metadata.csv or metadata.jsonl, as for dataset.py, with columns of these kinds: a prompt, pictures
in the table's folder, seeds. A row that lacks one is named and ends the reading.
"""

from pathlib import Path

from ..files import shorten
from ..limits import check_seed
from ..pictures import open_picture
from .captions import LONGEST_TABLE, TABLES, DataError, inside, read_text, rows_of
from .dataset import problem_of

# the columns of a table and the kinds of their values
COMPARISONS = {"prompt": str, "winner": Path, "loser": Path}
TAUGHT = {"prompt": str, "image": Path, "seed": int}


def read_table(folder: str | Path, columns: dict[str, type]) -> list[dict]:
    """-> the rows of the folder's table, each with all of the columns

    Raises DataError, one line, for a folder without a table or without a row, and for rows that
    lack a value or name a picture that cannot be used.
    """
    folder = Path(folder)
    tables = [folder / name for name in TABLES if (folder / name).exists()]
    wanted = f"{' or '.join(TABLES)} with the columns {', '.join(columns)}"
    if len(tables) != 1:
        raise DataError(f"{folder} must hold {wanted}, got {'both' if tables else 'neither'}")
    rows, problems = [], []
    for number, row in enumerate(rows_of(tables[0]), 1):
        try:
            rows.append(_checked(folder, row, columns))
        except ValueError as error:
            problems.append(f"row {number} {error}")
    if problems:
        total = len(problems) + len(rows)
        raise DataError(
            f"{tables[0]}: {len(problems)} of {total} rows cannot be used ({shorten(problems)}); "
            "correct or remove them"
        )
    if not rows:
        raise DataError(f"{folder} must hold {wanted}, got a table without a row")
    return rows


def _checked(folder: Path, row: dict | str, columns: dict[str, type]) -> dict:
    """The row's values in their types. Raises ValueError for the first that cannot be used."""
    if isinstance(row, str):
        raise ValueError(row)
    values = {}
    for name, kind in columns.items():
        value = row.get(name)
        if value is None or value == "":
            raise ValueError(f"has no {name}")
        values[name] = _value(folder, name, value, kind)
    sizes = {open_picture(path).size for path in values.values() if isinstance(path, Path)}
    if len(sizes) > 1:
        raise ValueError("names pictures of different sizes; they must be of one")
    return values


def _value(folder: Path, name: str, value, kind: type):
    if kind is int:
        try:
            return check_seed(int(value) if isinstance(value, str) else value)
        except (ValueError, TypeError):
            raise ValueError(
                f"has the {name} {shorten([value])}, which is no whole number"
            ) from None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"has a {name} that is no text")
    if kind is str:
        return value.strip()
    path = inside(folder, value)
    if problem := problem_of(path):
        raise ValueError(f"names {shorten([value])}, which {problem}")
    return path


def read_prompts(file: str | Path) -> list[str]:
    """The lines of a text file that are not empty. Raises DataError without any."""
    try:
        lines = [line.strip() for line in read_text(Path(file), LONGEST_TABLE).split("\n")]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} must be a text file, a prompt a line ({error})") from None
    prompts = [line for line in lines if line]
    if not prompts:
        raise DataError(f"{file} must hold a prompt a line, got none")
    return prompts
