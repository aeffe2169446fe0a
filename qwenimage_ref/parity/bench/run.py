"""The whole table of `qwenimage bench`, and its record."""

import json
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

import torch

from ...files import whole_file
from ...provenance import provenance
from .fresh_process import can_measure_memory
from .objectives import objective_rows
from .packed import packed_rows
from .parts import (
    HEAD,
    Plan,
    Row,
    block_rows,
    data_rows,
    import_rows,
    memory_rows,
    process_rows,
    tokenizer_rows,
    vae_rows,
)
from .pictures import blockwise_rows, controlnet_rows, edit_rows, regions_rows, vision_rows
from .pocket import pocket_rows

PARTS = {
    "vae": vae_rows,
    "memory": memory_rows,
    "block": block_rows,
    "edit": edit_rows,
    "vision": vision_rows,
    "blockwise": blockwise_rows,
    "controlnet": controlnet_rows,
    "regions": regions_rows,
    "packed": packed_rows,
    "objectives": objective_rows,
    "pocket": pocket_rows,
    "tokenizer": tokenizer_rows,
    "import": import_rows,
    "processes": process_rows,
    "data": data_rows,
}


@torch.no_grad()
def bench(plan: Plan, only: Collection[str] = ()) -> list[Row]:
    """Measure everything in the plan and print each row of the table when it is done.

    only: names of PARTS, to measure these alone. Raises ValueError for other names.
    """
    if unknown := sorted({*only} - {*PARTS}):
        raise ValueError(f"--only must name some of {', '.join(PARTS)}, got {unknown[0]}")
    torch.set_num_threads(1)
    print(HEAD.rstrip(), flush=True)
    rows = []
    for part in (each for name, each in PARTS.items() if not only or name in only):
        for row in part(plan):
            rows.append(row)
            print(row, flush=True)
    if not can_measure_memory():
        print("memory was not measured, because this system has no /proc/self/clear_refs")
    return rows


def record(rows: list[Row], file: Path, add: bool = False) -> None:
    """Write the rows with the machine and versions.

    add: keep what the file has besides; every row says on which machine and commit it was measured.
    """
    origin = provenance("diffusers", "transformers")
    table = [asdict(row) | {"gain": row.gain, "missed": row.missed} for row in rows]
    new = [{k: _short(v) for k, v in row.items()} | _place_of(origin) for row in table]
    stored = {}
    if add and file.exists():
        before = json.loads(file.read_text(encoding="utf-8"))
        stored = {row["what"]: _place_of(before) | row for row in before["rows"]}
    stored |= {row["what"]: row for row in new}
    result = {"rows": [*stored.values()]} | origin
    with whole_file(file) as unfinished:
        unfinished.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _place_of(origin: dict) -> dict:
    return {"processor": origin["machine"]["processor"], "commit": origin["commit"]}


def _short(value):
    return float(f"{value:.4g}") if isinstance(value, float) else value
