"""What all commands share: one line on stderr, and the error of wrong arguments."""

import contextlib
import sys

LONGEST_LINE = 1_000  # characters of an error


class UsageError(ValueError):
    """Arguments that cannot be followed; the message says which can."""


def say(text: str) -> None:
    """Print a message on stderr as one line; a console that is closed changes nothing."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."
    with contextlib.suppress(OSError, ValueError):
        print(f"qwenimage: {line}", file=sys.stderr)
