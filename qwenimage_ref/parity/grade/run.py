"""Every part of the model path beside the reference, whoever wrote it: the rows of `make grade`.

Small networks with random weights show where numbers first part; the pocket weights join the parts.
The graded code computes its values in a process of its own (ours.py); here they are compared.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch

from . import their_networks, their_pipeline
from .cases import NETWORKS
from .findings import CLOSE, EXACT, Comparison
from .parts import PARTS

LONGEST = 300  # characters of a finding; an exception of the graded code may say anything
GIVEN = {  # inputs that only the reference can compute
    "texts": their_pipeline.ids_of_texts,
    "rotate": lambda pocket: their_networks.rotation(),
    "packing": lambda pocket: their_pipeline.packed(),
    "times": lambda pocket: their_pipeline.levels_of_times(),
    "euler": lambda pocket: their_pipeline.levels_of_steps(),
}

diffusers.utils.logging.set_verbosity_error()


@dataclass(frozen=True)
class Row:
    """What became of one part."""

    part: str
    equal: bool
    finding: str

    @property
    def points(self) -> int:
        """What the part earns: nothing if it is not equal."""
        return self.equal * points(self.part)

    def __str__(self):
        return f"{self.part:44} {self.finding}"


def chosen(only: str = "") -> list[str]:
    """The parts whose names begin with `only`. Raises ValueError where none does."""
    names = [part for part in PARTS if part.startswith(only)]
    if not names:
        known = ", ".join(dict.fromkeys(part.partition(":")[0] for part in PARTS))
        raise ValueError(f"a part must be one of {known}, got {only!r}")
    return names


def given(part: str, pocket: Path):
    """What a part gets besides the inputs in cases.py: weights, or inputs of the reference's."""
    if part in NETWORKS:
        return their_networks.weights(part)
    return GIVEN.get(PARTS[part], lambda pocket: None)(pocket)


@functools.cache
@torch.no_grad()
def comparisons(part: str, pocket: Path) -> list[Comparison]:
    """One comparison for each value that ours.py yields of this part."""
    module = their_networks if hasattr(their_networks, PARTS[part]) else their_pipeline
    return list(getattr(module, PARTS[part])(part, pocket))


def row(part: str, answer: dict, pocket: Path) -> Row:
    """An answer of ours.py beside the reference's values.

    It comes from a process in which anything may have run, so its form is not trusted either.
    """
    try:
        finding = _finding(comparisons(part, pocket), answer["values"], answer["stopped"])
    except (TypeError, KeyError, AttributeError, RuntimeError, ValueError) as error:
        finding = f"gives an answer that cannot be compared ({type(error).__name__}: {error})"
    words = {EXACT: "equal, to the last bit", CLOSE: "equal"}
    return Row(part, finding in words, words.get(finding) or one_line(finding))


def _finding(compared: list[Comparison], values: list, stopped: str) -> str:
    findings = []
    for compare, value in zip(compared, values):
        findings.append(compare(value))
        if findings[-1] not in (EXACT, CLOSE):
            return findings[-1]
    if stopped or len(values) != len(compared):
        return stopped or f"gives {len(values)} values, not {len(compared)}"
    return CLOSE if CLOSE in findings else EXACT


def points(part: str) -> int:
    """The most that a part earns: 1 a single function, 3 what is compared as a whole, 5 the end."""
    if part == [*PARTS][-1]:
        return 5
    return 1 if PARTS[part] == "piece" else 3


def milestones(rows: list[Row]) -> list[str]:
    """The files, as the names of parts call them, of which every part is there and equal."""
    equal = {row.part for row in rows if row.equal}
    files = dict.fromkeys(part.partition(":")[0] for part in PARTS)
    return [one for one in files if {part for part in PARTS if part.startswith(f"{one}:")} <= equal]


def one_line(text: str) -> str:
    """Printable characters of a text of any origin, on one line of bounded length."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."
