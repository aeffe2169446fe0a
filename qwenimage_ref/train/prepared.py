"""Two stages: first the encoders alone run, and later the training, on another machine if need be.

A prepared folder holds what training needs of each example, so that the second stage loads neither
VAE nor text encoder: prepared.json, and one .safetensors file an example. The same bits come out of
two stages as of one.
"""

import dataclasses
import json
import shutil
from pathlib import Path

import torch

from ..files import read_json
from .captions import DataError
from .dataset import Encoded
from .distill import Taught
from .preference import Comparison
from .run_folder import RunFolder
from .state import read_tensors, write_tensors
from .streamed import INDEX as SHARDS
from .streamed import Streamed

INDEX, VERSION = "prepared.json", 1
KINDS = {"pictures": Encoded, "comparisons": Comparison, "taught": Taught}
REMEDY = "prepare the folder anew"


def write(folder: RunFolder, examples: list, empty: torch.Tensor, origin: str) -> None:
    """Write examples of one of KINDS. The index comes last: a folder without it is not finished.

    origin: what a run on them depends on. Raises RunError where nothing can be written.
    """
    kind = next(name for name, each in KINDS.items() if isinstance(examples[0], each))
    rows = []
    for number, example in enumerate(examples):
        values = {f.name: getattr(example, f.name) for f in dataclasses.fields(example)}
        tensors = {k: v for k, v in values.items() if isinstance(v, torch.Tensor)}
        write_tensors(folder, folder.path / f"{number:06}.safetensors", tensors, {})
        rows.append({k: v for k, v in values.items() if k not in tensors})
    write_tensors(folder, folder.path / "empty.safetensors", {"txt": empty}, {})
    content = {"version": VERSION, "kind": kind, "origin": origin, "examples": rows}
    with folder.whole_file(folder.path / INDEX) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")
    shutil.rmtree(folder.path / "encoded", ignore_errors=True)


def read(folder: str | Path, kind: str) -> tuple[list | Streamed, torch.Tensor, str]:
    """-> examples of that kind, the empty caption's text states, and the origin

    A folder of shards, which holds pictures, is not read but streamed. Raises DataError for a
    folder that is not prepared or holds another kind, RunError for a damaged file.
    """
    folder = Path(folder)
    if (folder / SHARDS).is_file() and kind == "pictures":
        streamed = Streamed(folder)
        return streamed, streamed.empty, streamed.origin
    try:
        index = read_json(folder / INDEX)
        if index["version"] != VERSION or index["kind"] not in KINDS:
            raise ValueError("it is of another version of this program")
        rows, origin = list(index["examples"]), str(index["origin"])
    except FileNotFoundError:
        raise DataError(f"{folder} must hold {INDEX}, which ends its preparing; {REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / INDEX} cannot be read ({error}); {REMEDY}") from None
    if index["kind"] != kind:
        raise DataError(f"{folder} must be prepared for {kind}, got {index['kind']}; {REMEDY}")
    examples = []
    for number, row in enumerate(rows):
        tensors, _ = read_tensors(folder / f"{number:06}.safetensors", REMEDY)
        try:
            examples.append(KINDS[kind](**tensors, **row))
        except TypeError:
            raise DataError(f"{folder / INDEX} does not fit its files; {REMEDY}") from None
    empty, _ = read_tensors(folder / "empty.safetensors", REMEDY)
    return examples, empty["txt"], origin
