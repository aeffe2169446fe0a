"""Comparisons that wait for one of our values and return what is wrong with it, or ""."""

from collections.abc import Callable

import torch

from ..trace import difference

Comparison = Callable[[object], str]  # one of our values -> what is wrong with it, or ""


def tensor(what: str, theirs: torch.Tensor, bound: float, relative: bool = True) -> Comparison:
    def compared(ours) -> str:
        if not isinstance(ours, torch.Tensor):
            return f"parts from the reference at {what}: {short(ours)}, not a tensor"
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            forms = [f"{tuple(one.shape)} {one.dtype}" for one in (ours, theirs)]
            return f"parts from the reference at {what}: {forms[0]}, not {forms[1]}"
        gap = difference(ours, theirs)[relative]
        if gap <= bound:  # careful: NaN is not <= anything
            return ""
        unit = " of its largest value" if relative else ""
        return f"parts from the reference at {what}: {gap:.1e}{unit} (tolerance {bound:.0e})"

    return compared


def equal(what: str, theirs) -> Comparison:
    def compared(ours) -> str:
        same = type(ours) is type(theirs) and ours == theirs
        return "" if same else f"parts from the reference at {what}: {short(ours)}"

    return compared


def id_list(text: str, theirs: list[int]) -> Comparison:
    def compared(ours) -> str:
        where = f"of {text[:30]!r}"
        if not isinstance(ours, list) or not all(type(one) is int for one in ours):
            return f"parts from the reference at the ids {where}: {short(ours)}, not a list of ids"
        if ours == theirs:
            return ""
        pairs = zip([*ours, None], [*theirs, None])
        at = next(i for i, (mine, other) in enumerate(pairs) if mine != other)
        here = f"{ours[at : at + 3]}, not {theirs[at : at + 3]}"
        return f"parts from the reference at id {at} {where}: {here}"

    return compared


def short(value) -> str:
    text = repr(value) if not isinstance(value, torch.Tensor) else "a tensor"
    return text if len(text) <= 60 else f"{text[:57]}..."
