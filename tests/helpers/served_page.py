"""A page that is served by the real command, with the pocket model behind it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from helpers import speed
from qwenimage_ref.repository import ROOT
from qwenimage_ref.serve.measure import children, processor_seconds

# every name that is looked up and every address that is called, by any of the processes
AUDIT = """
import os, sys
def note(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["CALLS"], "a") as log:
            log.write(f"{args[1] if event == 'socket.connect' else args[0]}\\n")
sys.addaudithook(note)
"""


@dataclass
class Served:
    """A running page."""

    address: str
    history: Path
    calls: Path  # a file of all that its processes called
    process: subprocess.Popen
    first_page: float = 0.0  # processor seconds of the server up to its first page


@contextlib.contextmanager
def page(home: Path, *words: str):
    """Yields a running page on a port of its own; every call of its processes is noted"""
    (home / "sitecustomize.py").write_text(AUDIT)
    served = start(home, "--port", "0", *words)
    try:
        urllib.request.urlopen(served.address, timeout=speed.wall_seconds(60)).close()
        if sys.platform == "linux":
            served.first_page = processor_seconds(served.process.pid)
        yield served
    finally:
        stop(served)


def start(home: Path, *words: str) -> Served:
    """Start the command in a folder, and wait until it says its address."""
    calls = home / "calls"
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(home), str(ROOT)]), "CALLS": str(calls)}
    env["TMPDIR"] = str(home)
    command = [sys.executable, "-m", "qwenimage_ref.cli", "serve", *words]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=home, env=env, text=True, stdout=subprocess.PIPE, stderr=log
        )
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:"), (home / "log").read_text()
    return Served(f"{address}/", home / "pictures", calls, process)


def stop(served: Served) -> None:
    """Interrupt the command; its workers and its folder of uploads go with it."""
    workers = children(served.process.pid) if sys.platform == "linux" else []
    served.process.send_signal(signal.SIGINT)
    try:
        served.process.wait(speed.wall_seconds(20))
    except subprocess.TimeoutExpired:
        served.process.kill()
        raise
    assert all(map(gone, workers))
    assert not list(served.history.parent.glob("qwenimage-*"))


def gone(pid: int) -> bool:
    give_up = time.monotonic() + speed.wall_seconds(20)
    while Path(f"/proc/{pid}").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    return not Path(f"/proc/{pid}").exists()
