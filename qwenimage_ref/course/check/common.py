"""What all checkers share: hints, tables of mistakes, and the answer that is still missing."""

import functools


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def need(holds: bool, hint: str) -> None:
    """Raises NotYet with the hint where something does not hold."""
    if not holds:
        raise NotYet(hint)


def need_all(seen, facts) -> None:
    """[(what must hold, hint), ...], in order: NotYet with the hint of the first that does not.

    seen: what an answer gave, handed to every first entry; and to a hint that is a function.
    """
    for holds, hint in facts:
        if not holds(seen):
            raise NotYet(hint if isinstance(hint, str) else hint(seen))


def need_none(answer, mistakes, near, *arguments) -> None:
    """[(wrong answer as a function, hint), ...]: NotYet with the hint of the one that `answer` is.

    arguments: of every wrong function, and of a hint that is one. near(a, b): whether two values
    are the same.
    """
    for wrong, hint in mistakes:
        if near(answer, wrong(*arguments)):
            raise NotYet(hint if isinstance(hint, str) else hint(*arguments))


def exercise(checker):
    """A checker that also knows a stub: `...`, or a function that raises NotImplementedError."""

    @functools.wraps(checker)
    def check(answer) -> None:
        need(answer is not ..., "there is no answer yet; put yours in the place of the three dots")
        try:
            checker(answer)
        except NotImplementedError:
            raise NotYet("your function is still empty; write its body, then check again") from None

    return check
