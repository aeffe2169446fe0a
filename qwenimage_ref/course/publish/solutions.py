"""Exercise cells for the editions: the stored answer put into a stub, and a check without it."""

import ast
import functools
import inspect
import pprint
import re
import textwrap

from .. import answers, lazy

STAND_IN = "answers.unless_solved"
STORED = re.compile(
    r"\banswers\.(EX_|unless_solved)|\bcourse import\b.*\banswers\b|\bcourse\.answers\b"
)
CHECK = "from qwenimage_ref.course import check"


class EditionError(ValueError):
    """A notebook that has no edition; names the cell and the reason."""


def _stand_ins(code: str) -> dict[ast.stmt, tuple[str, str]]:
    """Statements `mine = answers.unless_solved(mine, answers.EX_NAME)` -> "mine", "EX_NAME"."""
    names_of = {}
    for statement in ast.parse(code).body:
        call = getattr(statement, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == STAND_IN:
            names_of[statement] = (call.args[0].id, call.args[1].attr)
    return names_of


def plain_check(code: str) -> str:
    """A check cell that checks the learner's own answer, whatever it is."""
    gone = {statement.lineno: statement.end_lineno for statement in _stand_ins(code)}
    lines, kept, last = code.splitlines(), [], 0
    for number, line in enumerate(lines, 1):
        last = max(last, gone.get(number, 0))
        if number > last:
            kept.append(re.sub(r"(import )answers, |, answers\b", r"\1", line))
    plain = "\n".join(kept).strip()
    if STORED.search(plain):
        raise EditionError(f"this check cell cannot do without the stored answers:\n{code}")
    if CHECK not in plain:
        plain = f"{CHECK}\n\n{plain}"
    return re.sub(r"\n\n\n+", "\n\n", plain)


def solved(stub: str, check: str) -> str:
    """The stub's cell with the stored answers in it, between nbgrader's marks."""
    code = stub
    for name, stored in _stand_ins(check).values():
        statement = next((one for one in ast.parse(code).body if _defines(one, name)), None)
        if statement is None:
            raise EditionError(f"the exercise's cell does not define {name}:\n{stub}")
        lines = code.splitlines()
        first, last = statement.lineno - 1, statement.end_lineno
        old = "\n".join(lines[first:last])
        lines[first:last] = _solution(old, statement, name, stored).splitlines()
        code = "\n".join(lines)
    return code


def _defines(statement: ast.stmt, name: str) -> bool:
    if isinstance(statement, ast.Assign):
        return any(getattr(target, "id", None) == name for target in statement.targets)
    return getattr(statement, "name", None) == name


def _solution(stub: str, statement: ast.stmt, name: str, stored: str) -> str:
    answer = getattr(answers, stored)
    if not callable(answer):
        return _between(f"{name} = {_literal(stored)}")
    node, used = _definition(stored)
    own = textwrap.dedent(inspect.getsource(answer)).rstrip()
    own = re.sub(rf"\b{stored}\b", name, own)
    raised = [one for one in ast.walk(statement) if isinstance(one, ast.Raise)]
    same = isinstance(statement, ast.FunctionDef) and isinstance(node, ast.FunctionDef)
    if not same or ast.unparse(_names(statement)) != ast.unparse(_names(node)) or len(raised) != 1:
        return _between("\n".join([*used, *(["", ""] if used else []), own]))
    # only the body is the solution: the stub's signature, docstring and comments stay
    about = ast.get_docstring(node)
    start = node.body[1 if about else 0].lineno - node.lineno
    above = [f"# {line}".rstrip() for line in (about or "").splitlines()]
    above += [*used, ""] if used else []
    body = textwrap.dedent("\n".join(own.splitlines()[start:]))
    inside = textwrap.indent(_between("\n".join([*above, body])), "    ")
    before = stub.splitlines()[: raised[0].lineno - statement.lineno]
    after = stub.splitlines()[raised[0].end_lineno - statement.lineno + 1 :]
    return "\n".join([*before, inside, *after])


def _between(code: str) -> str:
    return f"### BEGIN SOLUTION\n{code}\n### END SOLUTION"


def _names(function: ast.FunctionDef) -> ast.arguments:
    """The arguments without their annotations."""
    arguments = ast.parse(ast.unparse(function)).body[0].args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        argument.annotation = None
    return arguments


@functools.cache
def _bindings() -> dict[str, tuple[ast.stmt, str]]:
    """Names at the top of the answers' files -> the statement that binds them, and its text."""
    bindings = {}
    for chapter in lazy.chapters(answers.__name__):
        text = inspect.getsource(chapter)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ImportFrom) and node.level:
                above = chapter.__package__.split(".")[: 1 - node.level or None]
                node.module, node.level = ".".join([*above, *filter(None, [node.module])]), 0
            names = []
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [(alias.asname or alias.name).split(".")[0] for alias in node.names]
                segment = ast.unparse(node)
            else:
                names = [getattr(node, "name", None)]
                names += [getattr(target, "id", None) for target in getattr(node, "targets", ())]
                segment = ast.get_source_segment(text, node)
            bindings |= {(chapter, name): (node, segment) for name in names if name}
    return bindings


def _definition(stored: str) -> tuple[ast.stmt, list[str]]:
    """An answer's statement, and the texts of all it needs from the top of its file, in order."""
    bindings = _bindings()
    chapter, _ = key = next(key for key in bindings if key[1] == stored)
    needed, waiting = {}, [bindings[key][0]]
    while waiting:
        for node in ast.walk(waiting.pop()):
            other = (chapter, getattr(node, "id", None))
            if other in bindings and other != key and bindings[other][1] not in needed:
                needed[bindings[other][1]] = bindings[other][0].lineno
                waiting.append(bindings[other][0])
    return bindings[key][0], sorted(needed, key=needed.get)


def _literal(stored: str) -> str:
    """A value as its file writes it, or in full where that would need other names."""
    node, used = _definition(stored)
    if not used:
        chapter = next(chapter for chapter, name in _bindings() if name == stored)
        return ast.get_source_segment(inspect.getsource(chapter), node.value)
    value = getattr(answers, stored)
    text = pprint.pformat(value, width=88, sort_dicts=False)
    try:
        ast.literal_eval(text)
    except ValueError:
        raise EditionError(f"{stored} cannot be written down: {text[:60]}") from None
    return text
