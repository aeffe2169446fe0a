"""The report of a validation: rows with a verdict, a printed table, and one JSON file."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ...files import whole_file
from ...provenance import provenance
from ..trace import Trace

HEAD = f"{'stage':11} {'what':46} {'off by':>8} {'cosine':>10} {'bound':>8} {'seconds':>7}"


@dataclass(frozen=True)
class Row:
    """One line of the report."""

    stage: str
    what: str
    value: float  # the largest relative difference, unless `what` names another measure
    bound: float
    ok: bool
    seconds: float
    cosine: float | None = None  # the lowest similarity of an output of ours and the reference's
    parts_at: str = ""  # the first official module at which ours and the reference differ
    tensors: tuple[str, ...] = ()  # those of that module that differ between the two folders

    def __str__(self):
        cosine = "" if self.cosine is None else f"{self.cosine:.7f}"
        line = f"{self.stage:11} {self.what:46} {self.value:8.1e} {cosine:>10} {self.bound:8.1e}"
        line += f" {self.seconds:7.1f}  {'ok' if self.ok else 'OUT OF TOLERANCE'}"
        return line if self.ok else f"{line}\n{'':11} {self.reason}"

    @property
    def reason(self) -> str:
        """Where ours and the reference differ first, and whether by weights or by arithmetic."""
        if not self.parts_at:
            return f"{self.what}: {self.value:.2g}, the bound is {self.bound:.2g}"
        first = f"they differ first at {self.parts_at}"
        if self.tensors:
            return f"{first}: the folders differ in {', '.join(self.tensors)}"
        if self.cosine is None:  # tokens or levels, no network
            return first
        return f"{first}, with equal weights: the arithmetic differs"


class Summary(NamedTuple):
    """The result of a trace in three numbers."""

    value: float  # the largest relative difference of any tensor
    cosine: float  # the lowest similarity of an output
    parts_at: str  # official name of the first module out of tolerance, or ""


def summary(traced: Trace, path: str = "") -> Summary:
    """path: the official name of the module that was traced; "" for a whole network."""
    value = largest(row.relative for row in traced.rows)
    lowest = -largest(-cosine(a, b) for a, b in zip(*traced.outputs))
    names = [path] if path else []
    if traced.first and traced.first.name != "output":
        names.append(traced.first.name)
    return Summary(value, lowest, (".".join(names) or "the output") if traced.first else "")


def largest(values: Iterable[float]) -> float:
    """The largest of several differences; NaN counts as larger than any number."""
    return max(values, key=lambda value: (math.isnan(value), value), default=0.0)


def cosine(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Cosine similarity of two tensors of one shape, as vectors."""
    a, b = ours.cpu().double().flatten(), theirs.cpu().double().flatten()
    return (a @ b / (a.norm() * b.norm())).item()


class RowBuilder:
    """Builds the rows of one stage; a row's time runs from the row before it.

    differing: returns the tensors of an official module that differ between the two folders.
    """

    def __init__(self, stage: str, differing: Callable[[str], list[str]] = lambda module: []):
        self.stage, self.differing, self.begin = stage, differing, time.perf_counter()

    def row(self, what: str, value: float, bound: float, ok: bool | None = None, **more) -> Row:
        begin, self.begin = self.begin, time.perf_counter()
        ok = value <= bound if ok is None else ok  # careful: NaN is not <= anything
        return Row(self.stage, what, value, bound, ok, self.begin - begin, **more)

    def worst(self, what: str, summaries: list[Summary], bound: float) -> Row:
        """One row for the worst of several traces, naming the first module out of tolerance."""
        parts_at = next((one.parts_at for one in summaries if one.parts_at), "")
        return self.row(
            what,
            largest(one.value for one in summaries),
            bound,
            cosine=-largest(-one.cosine for one in summaries),
            parts_at=parts_at,
            tensors=tuple(self.differing(parts_at)) if parts_at else (),
        )


def write(rows: list[Row], about: dict, file: Path) -> None:
    """Write the JSON file: the verdict, every row, and the machine, versions and command."""
    failed = [row for row in rows if not row.ok]
    result = {
        "ok": not failed,
        "parts_at": failed[0].parts_at or failed[0].what if failed else None,
        **about,
        "rows": [_rounded(dataclasses.asdict(row)) for row in rows],
        **provenance("diffusers", "transformers", "safetensors"),
    }
    text = json.dumps(result, indent=1) + "\n"
    with whole_file(file) as partial:
        partial.write_text(text, encoding="utf-8")


def _rounded(row: dict) -> dict:
    """The row with three digits in each number and nine in the cosine."""
    digits = {"value": 3, "seconds": 3, "cosine": 9}
    short = {k: float(f"{row[k]:.{n}g}") for k, n in digits.items() if row[k] is not None}
    # JSON has no NaN
    return row | {
        k: number if math.isfinite(number) else str(number) for k, number in short.items()
    }
