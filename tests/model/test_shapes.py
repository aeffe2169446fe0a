"""Docstrings that begin with shapes, such as `(B, I, D), (B, T, D) -> (B, I, D)`, tell the truth.

Inputs are made from the left side of each docstring, all sizes distinct, and what comes out is
compared with the right side. helpers/shape_cases.py says how each is called.
"""

import ast
import itertools
import re
from pathlib import Path

import pytest
import torch
from helpers import shape_cases
from helpers.shape_cases import SIZES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "qwenimage_ref"
OTHER_LETTERS = {"curation", "posters", "pocket", "evaluate", "course", "cli", "pictures"}


# -- reading docstrings ---------------------------------------------------------------------------

SHAPE = r"\([^()]*\)"
ARROW = re.compile(rf"^(.*?)-> ((?:\d+ x )?{SHAPE}(?:(?: or None)?, {SHAPE})*)")


def signatures(node, name: str) -> dict[str, str]:
    """Dotted name -> first line, of every docstring below `node` that has an arrow to a shape."""
    found = {}
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            path = f"{name}.{child.name}"
            line = (ast.get_docstring(child) or "").partition("\n")[0]
            found |= {path: line} if ARROW.match(line) else {}
            found |= signatures(child, path)
    return found


def package_signatures() -> dict[str, str]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] not in OTHER_LETTERS:
            found |= signatures(ast.parse(path.read_text(encoding="utf-8")), ".".join(parts))
    return found


SIGNATURES = package_signatures()


def dims(shape: str) -> list[str]:
    """ "(B, K/2)" -> ["B", "K/2"]"""
    return [dim.strip() for dim in shape.strip("()").split(",") if dim.strip()]


def size(dim: str, sizes: dict) -> int:
    """The number that a dim such as "64", "4C", "K/2" or "steps + 1" stands for."""
    if dim in sizes:
        return sizes[dim]
    value = eval(re.sub(r"(\d)([A-Za-z])", r"\1*\2", dim), {"__builtins__": {}}, sizes)
    assert value == int(value), f"{dim} is {value}"
    return int(value)


def sized(shape: str, sizes: dict) -> tuple:
    leading = sizes["..."] if "..." in shape else ()
    return (*leading, *(size(dim, sizes) for dim in dims(shape) if dim != "..."))


def variants(line: str):
    """One line for each way to read "1 or S"."""
    parts = re.split(r"(\w+ or \w+)(?=[,)])", line)
    choices = [part.split(" or ") if i % 2 else [part] for i, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


def shapes_of(result) -> list[tuple]:
    if isinstance(result, torch.Tensor):
        return [tuple(result.shape)]
    if all(isinstance(number, int) for number in result):
        return [tuple(result)]  # a grid (frames, rows, cols) is its own shape
    return [shape for part in result for shape in shapes_of(part)]


def check(line: str, call, sizes: dict) -> None:
    """Run `call` on tensors of the shapes before the arrow; compare with those behind it."""
    left, right = ARROW.match(line).groups()
    left = re.sub(r"\[[^\]]*\]", "", left)  # a list of grids is no tensor
    left = re.findall(SHAPE, left)
    times = int(re.match(r"(\d+) x|", right)[1] or 1)
    right = re.findall(SHAPE, right) * times
    named = {dim: size(dim, sizes) for shape in left + right for dim in dims(shape) if dim != "..."}
    assert len(set(named.values())) == len(named), f"two dims have the same size: {named}"
    with torch.no_grad():
        result = call(*(torch.rand(sized(shape, sizes)) for shape in left))
    assert shapes_of(result) == [sized(shape, sizes) for shape in right]


# -- the tests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNATURES)
def test_what_comes_out_has_the_shapes_that_the_docstring_says(name):
    for line in variants(SIGNATURES[name]):
        check(line, *shape_cases.case_of(name))


def test_every_case_has_a_docstring_with_shapes():
    assert sorted(shape_cases.names() - SIGNATURES.keys()) == []


@pytest.mark.parametrize(
    "line, call",
    [
        ("(B, T) -> (T, B)", lambda x: x),
        ("(B, T) -> (B, 2T): doubled", lambda x: x),
        ("(B, T) -> (B, T), (B, T)", lambda x: x),
        ("(B, T) -> 3 x (B, T)", lambda x: (x, x)),
        ("(B, T) -> (T,)", lambda x: x[0, 0]),
        ("-> (steps + 1,)", lambda: torch.rand(9)),
        ("(B, T) -> (B, T), two sizes are equal", None),
    ],
)
def test_a_docstring_that_lies_is_caught(line, call):
    sizes = SIZES | ({"T": SIZES["B"]} if call is None else {})
    with pytest.raises(AssertionError):
        check(line, call, sizes)


def test_both_readings_of_a_dim_with_or_are_tried():
    assert list(variants("(B, 1 or S) -> (B,) or None")) == [
        "(B, 1) -> (B,) or None",
        "(B, S) -> (B,) or None",
    ]
