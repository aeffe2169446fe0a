"""What all checkers share: how a wrong answer is said."""


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def need(holds: bool, hint: str) -> None:
    """Raises NotYet with the hint where something does not hold."""
    if not holds:
        raise NotYet(hint)
