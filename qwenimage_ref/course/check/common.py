"""What all checkers share: how a wrong answer is said, and one that is not there."""

import functools


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def need(holds: bool, hint: str) -> None:
    """Raises NotYet with the hint where something does not hold."""
    if not holds:
        raise NotYet(hint)


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
