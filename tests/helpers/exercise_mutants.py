"""Wrong answers made from an exercise's own solution, one small change each.

Besides the changes of code_mutants.py there are the slips of learners: an operand left out or put
in the other place, a size or an argument written down as a number, an argument changed in place,
and a result that went through float16. `make checkers` writes data/measurements/checkers.json;
`python -m helpers.exercise_mutants ex_05_rotate` counts for that exercise alone.
"""

import ast
import contextlib
import inspect
import io
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from qwenimage_ref.course import answers, check
from qwenimage_ref.course.bugs.quiz import CAUSES
from qwenimage_ref.course.check.chapter_02 import PROMPTS_02
from qwenimage_ref.posters.draw import BACKGROUNDS, COLOURS, SHAPES

from .code_mutants import Mutant, mutants_of, segment

TABLE = Path(__file__).resolve().parents[2] / "data" / "measurements" / "checkers.json"
SECONDS = 0.5  # of processor time that one checker may take before its answer counts as endless
WORDS = (*BACKGROUNDS, *COLOURS, *SHAPES, "left", "right", "above", "below", "not", "a", "of")


class Endless(BaseException):
    """An answer that does not come to an end; no checker catches it."""


class WrongAnswer(NamedTuple):
    """An answer, and the change that made it: `line, column | before -> after` in the solution."""

    change: str
    answer: object


def exercises() -> list[str]:
    """Names of all exercises that have a checker."""
    return [name for name in dir(check) if name.startswith("ex_")]


def outcome(exercise: str, answer: object) -> str:
    """What a checker makes of an answer: "accepted", "hint", or "stops" where it raises or hangs.

    An answer's own exception reaches the learner with its line, so it is no hint and no success.
    """

    def give_up(*_):
        raise Endless

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            getattr(check, exercise)(answer)
    except check.NotYet:
        return "hint"
    except (Exception, Endless):
        return "stops"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return "accepted"


def wrong_answers(exercise: str) -> list[WrongAnswer]:
    """All small changes of an exercise's stored solution."""
    solution = getattr(answers, exercise.upper())
    if not callable(solution):
        return [*_other_values(solution)]
    source, lines = _module(solution)
    seen = _first_values(exercise, source, lines)
    made = {}
    for mutant in [*mutants_of(source, lines), *_slips(source, lines, seen)]:
        line = source.splitlines()[mutant.line - 1].strip()
        change = f"{line}, {mutant.column} | {mutant.before} -> {mutant.after}"
        text = mutant.applied(source)
        with contextlib.suppress(Exception):  # a module that cannot even be run is no answer
            made.setdefault((change, text), WrongAnswer(change, _run(text)[solution.__name__]))
    return [*made.values(), *_around(exercise, solution)]


def _module(solution: Callable) -> tuple[str, range]:
    """Source of the solution's module, and the lines of the solution, counted from 1."""
    lines, first = inspect.getsourcelines(solution)
    return inspect.getsource(sys.modules[solution.__module__]), range(first, first + len(lines))


def _run(source: str) -> dict:
    namespace = {"__name__": "an_answer", "__package__": answers.__name__}
    exec(compile(source, "an answer", "exec"), namespace)  # noqa: S102
    return namespace


# ---- slips of learners


def _expressions(source: str, lines: range) -> dict[int, ast.expr]:
    """Number -> expression whose value is used, in the order of the text."""
    nodes = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.BinOp, ast.Call, ast.Name, ast.Attribute, ast.Subscript))
        and node.lineno in lines
        and isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    ]
    return dict(enumerate(nodes))


class _Recorder(ast.NodeTransformer):
    """Every expression of a solution inside a call that keeps the first value it has."""

    def __init__(self, lines: range):
        self.lines, self.places = lines, {}

    def visit(self, node):
        place = _place(node) if isinstance(node, ast.expr) else None
        annotation = isinstance(node, ast.arg)
        if annotation:
            return node
        node = self.generic_visit(node)
        kinds = (ast.BinOp, ast.Call, ast.Name, ast.Attribute, ast.Subscript)
        loaded = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if place is None or not isinstance(node, kinds) or not loaded or place[0] not in self.lines:
            return node
        call = ast.Call(ast.Name("_keep", ast.Load()), [ast.Constant(str(place)), node], [])
        return ast.copy_location(call, node)


def _place(node: ast.expr) -> tuple[int, int, int, int]:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _first_values(exercise: str, source: str, lines: range) -> dict[str, object]:
    """Place of an expression -> the first value it has while the checker runs the solution."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.lineno in lines:
            node.body = [_Recorder(lines).visit(statement) for statement in node.body]
    seen = {}

    def keep(place, value):
        seen.setdefault(place, value)
        return value

    namespace = {"__name__": "an_answer", "__package__": answers.__name__, "_keep": keep}
    exec(compile(ast.fix_missing_locations(tree), "a solution", "exec"), namespace)  # noqa: S102
    with contextlib.redirect_stdout(io.StringIO()):
        getattr(check, exercise)(namespace[exercise.upper()])
    return seen


def _slips(source: str, lines: range, seen: dict) -> Iterator[Mutant]:
    """Operands left out or exchanged, and values written down as numbers."""
    for node in _expressions(source, lines).values():
        if str(_place(node)) not in seen:  # an annotation, or code that is never reached
            continue
        value, before = seen[str(_place(node))], segment(source, node)
        varies = any(isinstance(part, ast.Name) for part in ast.walk(node))
        written = [repr(value)] if varies and type(value) in (int, float) else []
        if isinstance(node, ast.BinOp):
            left, right = (segment(source, side) for side in (node.left, node.right))
            written += [f"({left})", f"({right})"]
            commutes = isinstance(node.op, (ast.Add, ast.Mult)) and not isinstance(value, list)
            if not commutes and not isinstance(node.op, (ast.BitAnd, ast.BitOr)):
                exchanged = ast.BinOp(node.right, node.op, node.left)
                written.append(f"({ast.unparse(exchanged)})")
        for after in written:
            yield Mutant(*_place(node), before, after)


# ---- changes around a whole solution


def _around(exercise: str, solution: Callable) -> Iterator[WrongAnswer]:
    """The right answer that spoils an argument, or that went through float16."""
    called = []

    def noted(*arguments, **others):
        given = solution(*arguments, **others)
        called.append((arguments, given))
        return given

    with contextlib.redirect_stdout(io.StringIO()):
        getattr(check, exercise)(noted)
    arguments, given = called[0]
    for number, name in enumerate(inspect.signature(solution).parameters):
        if number < len(arguments) and isinstance(arguments[number], CHANGEABLE):
            yield WrongAnswer(f"{name} | changed in place", _spoiling(solution, number))
    if isinstance(given, (torch.Tensor, np.ndarray, float, list)) and _halved(given) is not given:
        yield WrongAnswer(
            "result | through float16", lambda *given, **others: _halved(solution(*given, **others))
        )


CHANGEABLE = (torch.Tensor, torch.nn.Module, list, dict)


def _spoiling(solution: Callable, number: int) -> Callable:
    """The solution, which changes one of its arguments after it has used it."""

    def spoiling(*arguments, **others):
        given = solution(*arguments, **others)
        _spoil(arguments[number])
        return given

    return spoiling


@torch.no_grad()
def _spoil(argument: object) -> None:
    if isinstance(argument, torch.Tensor):
        argument.copy_(~argument if argument.dtype == torch.bool else argument + 1)
    elif isinstance(argument, torch.nn.Module):
        next(argument.parameters()).add_(1)
    elif isinstance(argument, list):
        argument.append(argument[-1] if argument else "")
    else:
        argument.clear()


def _halved(given):
    """A result rounded to float16, in the type that it had; whole numbers and words as they are."""
    if isinstance(given, torch.Tensor):
        return given.half().to(given.dtype)
    if isinstance(given, np.ndarray):
        return given.astype(np.float16).astype(given.dtype)
    if isinstance(given, list) and all(isinstance(number, float) for number in given):
        return [float(np.float16(number)) for number in given]
    return float(np.float16(given)) if isinstance(given, float) else given


# ---- answers that are no functions


def _other_values(solution) -> Iterator[WrongAnswer]:
    """A prompt with one word other, gone, doubled or moved; a list with one entry other."""
    words = solution.split() if isinstance(solution, str) else solution
    others = CAUSES if isinstance(solution, list) else WORDS
    if solution in PROMPTS_02:
        yield from (WrongAnswer(p, p) for p in PROMPTS_02 if p != solution)
        return
    for i, word in enumerate(words):
        lists = [[*words[:i], other, *words[i + 1 :]] for other in others if other != word]
        lists += [[*words[:i], *words[i + 1 :]], [*words[:i], word, *words[i:]]]
        lists += [[*words[:i], *words[i : i + 2][::-1], *words[i + 2 :]]]
        for changed in lists:
            if changed != words:
                answer = changed if isinstance(solution, list) else " ".join(changed)
                yield WrongAnswer(str(answer), answer)


# ---- the table


def accepted(exercise: str, chosen: list[WrongAnswer]) -> list[WrongAnswer]:
    """The wrong answers that the checker takes for right."""
    return [wrong for wrong in chosen if outcome(exercise, wrong.answer) == "accepted"]


def recorded(exercise: str) -> dict:
    """The exercise's row of the table."""
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {"exercises": {}}
    return table["exercises"].get(exercise, {"equal": []})


def counted(exercise: str) -> dict:
    """How a checker judges every wrong answer, with the reasons in the table of equal ones."""
    reasons = {row["change"]: row["same"] for row in recorded(exercise)["equal"]}
    row, every = {"tried": 0, "hint": 0, "stops": 0, "equal": []}, wrong_answers(exercise)
    for wrong in every:
        row["tried"] += 1
        verdict = outcome(exercise, wrong.answer)
        if verdict == "accepted":
            row["equal"].append({"change": wrong.change, "same": reasons.get(wrong.change, "")})
        else:
            row[verdict] += 1
    return row


def main(names: list[str]) -> int:
    """Count anew for the exercises of these names, or for all."""
    chosen = names or exercises()
    rows = {name: counted(name) if name in chosen else recorded(name) for name in exercises()}
    about = "small changes of each solution: named by a hint, stopped by their own error, or equal"
    table = {"about": about, "exercises": rows}
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    accepted = [(name, one["change"]) for name, row in rows.items()
                for one in row["equal"] if not one["same"]]  # fmt: skip
    for name, change in accepted:
        print(f"{name} accepts {change}: mend the checker, or say in {TABLE.name} why it is equal")
    return 1 if accepted else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
