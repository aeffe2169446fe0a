"""What all commands share: one line on stderr, and the error of wrong arguments."""

import contextlib
import errno
import os
import sys

LONGEST_LINE = 1_000  # characters of an error


class UsageError(ValueError):
    """Arguments that cannot be followed; the message says which can."""


def say(text: str) -> None:
    """Print a message on stderr as one line; a console that is closed changes nothing."""
    line = " ".join(text.split())
    line = line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."
    bars = sys.modules.get("tqdm")  # progress bars, if there can be any, move below the message
    write = print if bars is None else bars.tqdm.write
    with contextlib.suppress(OSError, ValueError):
        write(f"qwenimage: {line}", file=sys.stderr)


def reason(error: Exception) -> str:
    """An error in the words of a message: the system's own name the file before what is wrong."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error) or "out of memory; use smaller sides"
    remedy = "; make room there" if error.errno == errno.ENOSPC else ""
    return f"{error.filename or 'the output'}: {error.strerror}{remedy}"


def discard_output() -> int:
    """Let a command end whose reader has gone, as `| head` does -> its exit status."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # SIGPIPE
