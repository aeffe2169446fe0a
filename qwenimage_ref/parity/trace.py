"""Two networks run side by side, and the first tensor at which they differ."""

import math
from dataclasses import dataclass, field

import torch
from torch import nn

from .record import difference, record, run_ours, tensors
from .reference import run
from .tolerances import TOLERANCES

SHOWN = 20  # rows of a printed trace before the first difference


@dataclass(frozen=True)
class Row:
    """The comparison of one tensor of both networks."""

    name: str  # official name of the module that returned it
    shape: tuple  # in our network
    difference: float  # largest absolute difference
    relative: float  # the same divided by the reference's largest absolute value


@dataclass(frozen=True)
class Trace:
    """Every tensor that both networks compute, in the order of our network."""

    rows: list[Row]
    tolerance: float  # relative difference up to which two tensors count as equal
    outputs: tuple[list, list] = field(repr=False)  # the tensors that each network returned

    @property
    def first(self) -> Row | None:
        """The first tensor out of tolerance, None if there is none."""
        return next((row for row in self.rows if not row.relative <= self.tolerance), None)

    def __str__(self):
        upto = self.rows.index(self.first) + 1 if self.first else len(self.rows)
        shown = self.rows[max(0, upto - 1 - SHOWN) : upto]
        width = max((len(row.name) for row in shown), default=4)
        lines = [f"{'name':{width}}  {'shape':>18}  {'max |a-b|':>9}  {'relative':>9}"]
        if upto > len(shown):
            lines.append(f"... {upto - len(shown)} tensors before these agree")
        lines += [
            f"{row.name:{width}}  {'x'.join(map(str, row.shape)):>18}  {row.difference:9.2e}  "
            f"{row.relative:9.2e}"
            for row in shown
        ]
        if self.first:
            lines.append(f"they differ first at {self.first.name} (tolerance {self.tolerance:.0e})")
        else:
            lines.append(f"all {len(self.rows)} tensors agree (tolerance {self.tolerance:.0e})")
        return "\n".join(lines)


def trace(ours: nn.Module, theirs: nn.Module, inputs: dict, tolerance: float = 1e-5) -> Trace:
    """Run both networks with the arguments of our class and compare what every module returns.

    Modules are matched by official name. Modules that only one network has, or that return their
    numbers in another layout, are skipped. The last row is the network's output.
    """
    return compare(
        record(ours, run_ours, inputs), record(theirs, run, inputs), tolerance, inputs.get("mask")
    )


def compare(ours: dict, theirs: dict, tolerance: float = 1e-5, mask=None) -> Trace:
    """Compare two results of `record`, module by module, in the order of `ours`.

    mask (B, T): positions where it is False are padding and are not compared.
    """
    rows = []
    for name, outputs in ours.items():
        for tensor in outputs:
            # the reference may return a pair in the other order: take the nearest of equal shape
            pairs = [
                Row(name, tuple(tensor.shape), *difference(tensor, other, mask))
                for other in theirs.get(name, [])
                if tensor.squeeze().shape == other.squeeze().shape
            ]
            if pairs:
                rows.append(min(pairs, key=lambda row: (math.isnan(row.relative), row.relative)))
    return Trace(rows, tolerance, (ours["output"], theirs["output"]))


def assert_agreement(ours: nn.Module, theirs: nn.Module, inputs: dict, name: str) -> None:
    """Raises AssertionError, with a trace, unless both outputs agree within a tolerance.

    name: of the entry in the table of tolerances.
    """
    tolerance = TOLERANCES[name]
    with torch.no_grad():
        a, b = tensors(run_ours(ours, inputs)), tensors(run(theirs, inputs))
    assert [x.shape for x in a] == [x.shape for x in b], f"{name}: shapes differ"
    apart = [difference(x, y, inputs.get("mask"))[1] for x, y in zip(a, b)]
    if not all(gap <= tolerance.value for gap in apart):  # careful: NaN is not <= anything
        report = trace(ours, theirs, inputs, tolerance.value)
        raise AssertionError(
            f"{name}: relative differences {apart} over {tolerance.value:.0e} "
            f"({tolerance.reason})\n{report}"
        )
