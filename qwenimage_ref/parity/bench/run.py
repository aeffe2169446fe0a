"""The whole table of `qwenimage bench`, and its record."""

import json
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
from .pictures import blockwise_rows, controlnet_rows, edit_rows, vision_rows

PARTS = (
    vae_rows,
    memory_rows,
    block_rows,
    edit_rows,
    vision_rows,
    blockwise_rows,
    controlnet_rows,
    packed_rows,
    objective_rows,
    tokenizer_rows,
    import_rows,
    process_rows,
    data_rows,
)


@torch.no_grad()
def bench(plan: Plan) -> list[Row]:
    """Measure everything in the plan and print each row of the table when it is done."""
    torch.set_num_threads(1)
    print(HEAD.rstrip(), flush=True)
    rows = []
    for part in PARTS:
        for row in part(plan):
            rows.append(row)
            print(row, flush=True)
    if not can_measure_memory():
        print("memory was not measured, because this system has no /proc/self/clear_refs")
    return rows


def record(rows: list[Row], file: Path) -> None:
    """Write the rows with the machine and versions."""
    table = [asdict(row) | {"gain": row.gain, "missed": row.missed} for row in rows]
    rounded = [{k: _short(value) for k, value in row.items()} for row in table]
    result = {"rows": rounded} | provenance("diffusers", "transformers")
    with whole_file(file) as unfinished:
        unfinished.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _short(value):
    return float(f"{value:.4g}") if isinstance(value, float) else value
