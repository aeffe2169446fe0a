"""Comparisons that wait for one of our values and return what is wrong with it.

A correct formula written in another order differs in the last bits, so float32 values may differ by
GRADED; those of bfloat16 may not, for there the order of roundings is what is taught. A value that
is equal to the last bit is told apart from one that is close, for praise and for nothing else.
"""

from collections.abc import Callable

import torch

from ..trace import difference

EXACT, CLOSE = "", "close"  # no difference at all, and one within the bound
GRADED = 1e-6
Comparison = Callable[[object], str]  # one of our values -> EXACT, CLOSE, or what is wrong with it


def tensor(what: str, theirs: torch.Tensor, bound: float, relative: bool = True) -> Comparison:
    """Within the bound, or GRADED of float32 if that is more; relative: of the largest value."""
    bound = bound if theirs.dtype == torch.bfloat16 else max(bound, GRADED)

    def compared(ours) -> str:
        if not isinstance(ours, torch.Tensor):
            return f"parts from the reference at {what}: {short(ours)}, not a tensor"
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            forms = [f"{tuple(one.shape)} {one.dtype}" for one in (ours, theirs)]
            return f"parts from the reference at {what}: {forms[0]}, not {forms[1]}"
        gap = difference(ours, theirs)[relative]
        if gap <= bound:  # careful: NaN is not <= anything
            return EXACT if gap == 0 else CLOSE
        unit = " of its largest value" if relative else ""
        return f"parts from the reference at {what}: {gap:.1e}{unit} (tolerance {bound:.0e})"

    return compared


def equal(what: str, theirs) -> Comparison:
    def compared(ours) -> str:
        same = type(ours) is type(theirs) and ours == theirs
        return EXACT if same else f"parts from the reference at {what}: {short(ours)}"

    return compared


def id_list(text: str, theirs: list[int]) -> Comparison:
    def compared(ours) -> str:
        where = f"of {text[:30]!r}"
        if not isinstance(ours, list) or not all(type(one) is int for one in ours):
            return f"parts from the reference at the ids {where}: {short(ours)}, not a list of ids"
        if ours == theirs:
            return EXACT
        pairs = zip([*ours, None], [*theirs, None])
        at = next(i for i, (mine, other) in enumerate(pairs) if mine != other)
        here = f"{ours[at : at + 3]}, not {theirs[at : at + 3]}"
        return f"parts from the reference at id {at} {where}: {here}"

    return compared


def short(value) -> str:
    text = repr(value) if not isinstance(value, torch.Tensor) else "a tensor"
    return text if len(text) <= 60 else f"{text[:57]}..."
