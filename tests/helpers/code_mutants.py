"""Small changes of Python source, one at a time: what a test suite should notice.

A mutant replaces one expression of the text; all other lines stay as they are.
"""

import ast
import copy
import functools
from collections.abc import Iterator
from typing import NamedTuple

ARITHMETIC = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mod,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}


class Mutant(NamedTuple):
    """One changed expression; lines count from 1, columns from 0 in UTF-8 bytes, as in `ast`."""

    line: int
    column: int
    end_line: int
    end_column: int
    before: str
    after: str

    def applied(self, source: str) -> str:
        """The source with this one change."""
        lines = source.encode().splitlines(keepends=True)
        head = lines[self.line - 1][: self.column]
        tail = lines[self.end_line - 1][self.end_column :]
        lines[self.line - 1 : self.end_line] = [head + self.after.encode() + tail]
        return b"".join(lines).decode()


def mutants_of(source: str, lines: range | None = None) -> list[Mutant]:
    """Every mutant of a module that still compiles, in the order of its text; of `lines`, or all.

    Lines count from 1, and a mutant belongs to the line on which its expression begins.
    """
    found, tree = [], ast.parse(source)
    modules = _imported(tree)
    for node in _code(tree):
        if lines is not None and getattr(node, "lineno", None) not in lines:
            continue
        for new in _changes(node, modules):
            before, after = segment(source, node), _text(new)
            place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
            mutant = Mutant(*place, before, after)
            if ast.unparse(node) != ast.unparse(new) and _compiles(mutant.applied(source)):
                found.append(mutant)
    return sorted(set(found))


def segment(source: str, node: ast.AST) -> str:
    """The text of a node. ast.get_source_segment splits the whole source anew for each."""
    lines = list(_lines(source)[node.lineno - 1 : node.end_lineno])
    lines[-1] = lines[-1][: node.end_col_offset]
    lines[0] = lines[0][node.col_offset :]
    return b"".join(lines).decode()


@functools.cache
def _lines(source: str) -> list[bytes]:
    return source.encode().splitlines(keepends=True)


def _imported(tree: ast.AST) -> set[str]:
    """Names that stand for modules, whose functions are no methods to leave out."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return names


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that decide what a program does: no annotation, docstring or error message."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "msg", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, (ast.Raise, ast.JoinedStr)):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                continue
            yield child
            yield from _code(child)


def _text(node: ast.AST) -> str:
    """Code of a changed node, in parentheses where its surroundings could bind more tightly."""
    text = ast.unparse(node)
    compound = isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp))
    return f"({text})" if compound else text


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _changes(node: ast.AST, modules: set[str]) -> Iterator[ast.AST]:
    """What a node may become."""
    if isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Call):
        yield from _calls(node, modules)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, float):
        yield ast.Constant(value * (10 if 0 < abs(value) < 1e-3 else 1.1) if value else 0.1)
    elif isinstance(value, str) and value and not set(value) & set(" {\n"):  # a name, no sentence
        yield ast.Constant(value + "x")


def _calls(node: ast.Call, modules: set[str]) -> Iterator[ast.AST]:
    """Two arguments exchanged, one keyword left out, or a method that is not called."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    starred = any(isinstance(argument, ast.Starred) for argument in node.args[:2])
    if len(node.args) >= 2 and not starred and name != "isinstance":
        swapped = copy.copy(node)
        swapped.args = [node.args[1], node.args[0], *node.args[2:]]
        yield swapped
    for i, keyword in enumerate(node.keywords):
        if keyword.arg is not None:
            without = copy.copy(node)
            without.keywords = node.keywords[:i] + node.keywords[i + 1 :]
            yield without
    if isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in modules:
        yield node.func.value
