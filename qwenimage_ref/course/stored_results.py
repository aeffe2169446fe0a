"""Cells about the official files: computed where the files are, elsewhere a stored result.

    result = stored_results.run("02_tokens_of_a_poem", "tokenizer", compute)
    stored_results.check("vae", "44,599,603 of the official VAE's numbers are alive", verify)

Both look for `part` with checkpoint.locate.find, which never downloads, and what is printed is
the same either way. So no output says which way it went; `stored_results.last` does, in a cell of
your own:

    "tokenizer of Qwen-Image-2512 is here: computed, and equal to the stored result"

QWENIMAGE_RECORD=1 in the environment stores what has no stored result yet, or another one.
"""

import datetime
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from ..checkpoint import locate
from ..files import read_json, whole_file
from ..provenance import provenance
from .show import ROOT

FOLDER = ROOT / "data" / "official_runs"
RECORD = "QWENIMAGE_RECORD"

last = "no cell about the official files has run yet"


class GatedError(RuntimeError):
    """A result that is missing, damaged, or not the stored one; says which and what to do."""


def run(
    name: str,
    part: str,
    compute: Callable[[Path], object],
    close: float = 0.0,
    dtype: str = "",
    device: str = "",
):
    """What `compute(path of part)` gives, in JSON's types -> the result in NAME.json, always.

    name: of the file data/official_runs/NAME.json
    part: a file or folder of an official model, "tokenizer" or "vae/config.json"
    close: how far floats may be from the stored ones, relative; 0: every bit
    dtype, device: kept with the result, where they matter

    Raises GatedError where the part is here and its result is not the stored one, and where there
    is nothing to show.
    """
    global last
    if not re.fullmatch(r"[a-z0-9_]+", name):
        raise GatedError(f"a name must be of small letters, digits and _, got {name!r}")
    path, file = locate.find(part), FOLDER / f"{name}.json"
    if path is None:
        stored = _stored(file, f"and {part} is not on this machine; set ${RECORD}=1 where it is")
        origin = f"stored on {stored['date']} from {stored['official']}"
        last = f"{part} is not here: the result is the one {origin}"
        return stored["result"]
    result = _as_json(name, compute(path))
    if os.environ.get(RECORD) == "1" and not _holds(file, result, close):
        _store(file, result, part, path, {"dtype": dtype, "device": device})
    stored = _stored(file, f"though {part} is here; run this once with {RECORD}=1")
    if difference := _difference(result, stored["result"], close):
        raise GatedError(
            f"{part} of {_model(part, path)} gives {difference}, in "
            f"data/official_runs/{file.name}: find out which is wrong; "
            f"{RECORD}=1 stores the new result"
        )
    last = f"{part} of {_model(part, path)} is here: computed, and equal to the stored result"
    return stored["result"]


def check(part: str, what: str, verify: Callable[[Path], None]) -> None:
    """Print `what` is checked where `part` is there, and there run `verify(path)`, which asserts.

    For results that have not been stored yet. The words are the same with and without the part.
    """
    global last
    path = locate.find(part)
    if path is None:
        last = f"{part} is not here: nothing was checked"
    else:
        if verify(path) is False:
            raise GatedError(f"{part} of {_model(part, path)} fails the check: {what}")
        last = f"{part} of {_model(part, path)} is here: checked"
    print(f"where the official {part} is on the machine, this cell checks: {what}")


def _model(part: str, path: Path) -> str:
    """Which official model `path` belongs to: "Qwen/Qwen-Image" in a hub cache, else its folder."""
    folder = Path(os.path.abspath(path)).parents[len(Path(part).parts) - 1]
    if folder.parent.name == "snapshots":
        return folder.parent.parent.name.removeprefix("models--").replace("--", "/")
    return folder.name


def _as_json(name: str, result):
    try:
        return json.loads(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise GatedError(
            f"the result of {name} cannot be stored ({error}); "
            "return finite numbers, strings, lists and dicts"
        ) from None


def _stored(file: Path, remedy: str) -> dict:
    """{"result", "date", "official", ...} of a stored result."""
    name = f"data/official_runs/{file.name}"
    if not file.exists():
        raise GatedError(f"{name} is missing, {remedy}")
    try:
        stored = read_json(file)
        if not {"result", "date", "official"} <= stored.keys():
            raise ValueError("it lacks result, date or official")
    except (OSError, ValueError, AttributeError) as error:
        raise GatedError(f"{name} is damaged ({error}); fetch the repository again") from None
    return stored


def _holds(file: Path, result, close: float) -> bool:
    return file.exists() and not _difference(result, _stored(file, "")["result"], close)


def _store(file: Path, result, part: str, path: Path, how: dict[str, str]) -> None:
    origin = provenance()
    del origin["command"]  # a kernel's own, which says nothing about the result
    content = {
        "result": result,
        "part": part,
        "official": _model(part, path),
        "date": datetime.date.today().isoformat(),
        **{key: value for key, value in how.items() if value},
        **origin,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        partial.write_text(text + "\n", encoding="utf-8")


def _difference(new, stored, close: float, where: str = "the result") -> str:
    """The first place in which two JSON values part, in words; "" where there is none."""
    numbers = all(type(value) in (int, float) for value in (new, stored))
    if numbers and float in (type(new), type(stored)):
        same = math.isclose(new, stored, rel_tol=close, abs_tol=0)
        return "" if same else f"{new} for {where}, not {stored}"
    if type(new) is not type(stored):
        return f"{_short(new)} for {where}, not {_short(stored)}"
    if isinstance(new, dict) and new.keys() == stored.keys():
        pairs = [(new[key], stored[key], f"{where}[{key!r}]") for key in stored]
    elif isinstance(new, list) and len(new) == len(stored):
        pairs = [(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(new, stored))]
    else:
        return "" if new == stored else f"{_short(new)} for {where}, not {_short(stored)}"
    return next(filter(None, (_difference(a, b, close, at) for a, b, at in pairs)), "")


def _short(value) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
