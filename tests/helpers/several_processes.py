"""A function in several processes that have met, as torchrun would start them."""

import contextlib
import io
import multiprocessing
import os
import socket
import traceback

# careful: a forked child must not use its parent's threads; `load` sees to that
import qwenimage_ref.load  # noqa: F401
from qwenimage_ref import cli
from qwenimage_ref.train.sharded.processes import started


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def environment(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun says to one of `size` processes on this machine."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip


def start(size: int, function, *arguments) -> list:
    """[(process, its end of a pipe), ...] in each of which function(processes, *arguments) runs"""
    fork, port, children = multiprocessing.get_context("fork"), free_port(), []
    for rank in range(size):
        here, there = fork.Pipe(duplex=False)
        variables = environment(rank, size, port)
        process = fork.Process(target=_child, args=(variables, there, function, arguments))
        process.start()
        there.close()
        children.append((process, here))
    return children


def call(size: int, function, *arguments) -> list:
    """[what function(processes, *arguments) returns, in each process]

    An exception is returned as its text, "ValueError: ...", with the traceback on stderr.
    """
    children = start(size, function, *arguments)
    results = [pipe.recv() for _, pipe in children]
    for process, _ in children:
        process.join()
    return results


def command(size: int, *arguments: str) -> list[tuple[int, str, str]]:
    """`qwenimage ARGUMENTS` -> [(status, stdout, stderr)], one of each process"""
    fork, port = multiprocessing.get_context("fork"), free_port()
    with fork.Pool(size) as pool:
        started = [
            pool.apply_async(_command, (environment(rank, size, port), arguments))
            for rank in range(size)
        ]
        return [each.get(timeout=200) for each in started]


def _command(variables, arguments) -> tuple[int, str, str]:
    os.environ.update(variables)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main(list(arguments))
        except SystemExit as ended:
            status = ended.code
    return status, out.getvalue(), err.getvalue()


def _child(variables, pipe, function, arguments) -> None:
    os.environ.update(variables)
    try:
        with started() as processes:
            pipe.send(function(processes, *arguments))
    except BaseException as error:
        traceback.print_exc()
        pipe.send(f"{type(error).__name__}: {error}")
