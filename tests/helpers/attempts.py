"""Run tests in a forked process in which changed sources stand in for files of the package.

The files themselves are never written. A hang is ended, and an interruption leaves nothing behind.
"""

import contextlib
import importlib.machinery
import os
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

PASSED = 77  # a status that code under test does not leave by accident, as 0 would be


def in_place_of(file: Path, source: str) -> None:
    """From now on `file` is imported as if it held `source`."""
    read = importlib.machinery.SourceFileLoader.get_data
    cached = importlib.machinery.SourceFileLoader.path_stats

    def get_data(self, path):
        return source.encode() if path == str(file) else read(self, path)

    def path_stats(self, path):
        if path == str(file):
            raise OSError("the cached bytecode is of the unchanged source")
        return cached(self, path)

    importlib.machinery.SourceFileLoader.get_data = get_data
    importlib.machinery.SourceFileLoader.path_stats = path_stats


class Limit(NamedTuple):
    """When an attempt counts as hung, in seconds."""

    cpu: float
    wall: float


class Outcome(NamedTuple):
    """How the tests of one attempt ended, and the seconds they took."""

    failed: bool
    cpu: float
    wall: float


def _child(changed: dict, tests: list[str], limit: Limit, folder: str, plugins: list) -> int:
    """Run the tests with `changed` sources for some files -> pytest's status"""
    import pytest

    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    cpu = int(limit.cpu) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 5))
    for file, source in changed.items():
        in_place_of(file, source)
    sys.dont_write_bytecode = True
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # notebooks' plugins take a second to load
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--timeout=0"]
    return pytest.main([*options, *tests], plugins=plugins)


def _kill(child: int) -> None:
    """End what is left of an attempt, with the processes that its tests started."""
    for kill in (os.killpg, os.kill):  # the group does not exist in the first moment
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)


def attempt(changed: dict[Path, str], tests: list[str], limit: Limit, *plugins) -> Outcome:
    """Run the tests with `changed` sources; a failure, a crash and a hang are the same.

    Nothing is left when it ends or is interrupted: no process and no temporary file.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant", ignore_cleanup_errors=True) as folder:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                passed = _child(changed, tests, limit, folder, list(plugins)) == 0
                status = PASSED if passed else 1
            finally:
                os._exit(status)
        try:
            while not (ended := os.wait4(child, os.WNOHANG))[0]:
                if time.monotonic() - start > limit.wall:
                    _kill(child)
                time.sleep(0.05)
        except BaseException:
            _kill(child)
            os.waitpid(child, 0)
            raise
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)  # what the tests started and left behind
    _, status, usage = ended
    failed = os.waitstatus_to_exitcode(status) != PASSED
    return Outcome(failed, usage.ru_utime + usage.ru_stime, time.monotonic() - start)
