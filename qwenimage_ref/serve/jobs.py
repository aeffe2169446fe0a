"""A queue of pictures to be painted, and the worker processes that paint them, one a device.

Worker and server exchange one JSON object a line. To a worker:

    {"job": 7, "task": "paint", "arguments": ["--seed=3", "--", "a star"], "output": "7.png"}
    {"cancel": 7}

and from it, first what its weights can do, then what becomes of a job:

    {"ready": {"kind": "text", ...}}  or  {"error": "one line"}
    {"job": 7, "step": 3, "steps": 20}, ..., then one of
    {"job": 7, "done": ["7.png"], "notes": ["one line"]}
    {"job": 7, "error": "one line"},  {"job": 7, "cancelled": true}

A worker ends when its input ends, so that none is left behind by a server that was killed.
"""

import bisect
import itertools
import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"
MOST_WAITING = 100  # jobs in the queue
PATIENCE = 5.0  # seconds that a worker is given to end by itself


class QueueError(ValueError):
    """A job that is not taken, or a worker that cannot work; one line says why."""


@dataclass(eq=False)
class Job:
    """One picture that was asked for. Threads read it while a worker's thread changes it."""

    number: int
    task: str  # paint or layers
    arguments: list[str]  # what that command is given
    output: Path  # the file, or of layers the folder
    arrival: int = 0  # place of its request among all that came
    state: str = WAITING
    step: int = 0
    steps: int = 0  # 0: not known yet
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    asked: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)

    def end(self, state: str, error: str = "") -> None:
        self.state, self.error = state, error
        self.ended.set()


class Queue:
    """Jobs in the order in which they were asked for; each goes to the first worker that is free.

    commands: what starts each worker. All must have the same weights.
    """

    def __init__(self, commands: list[list[str]]):
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._numbers = itertools.count(1)
        self._closed = False
        self.workers = [_Worker(command, self) for command in commands]

    def abilities(self) -> dict:
        """What the weights can do, as soon as the workers say so. Raises QueueError."""
        return [worker.abilities() for worker in self.workers][0]

    def start(self) -> None:
        for worker in self.workers:
            worker.thread.start()

    def submit(self, task: str, arguments: list[str], output: Path, arrival: int = 0) -> Job:
        """A job behind all whose requests came before. Raises QueueError where too many wait."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise QueueError(
                    f"at most {MOST_WAITING} pictures can wait in the queue; try again later"
                )
            job = Job(next(self._numbers), task, arguments, output, arrival)
            bisect.insort(self._waiting, job, key=lambda each: each.arrival)
            self._changed.notify()
        return job

    def place(self, job: Job) -> int:
        """How many are before it, 0 if it is painted or done"""
        with self._changed:
            return 1 + self._waiting.index(job) if job in self._waiting else 0

    def cancel(self, job: Job) -> None:
        """A waiting job is dropped, a running one ends behind its step, an ended one stays."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                job.end(CANCELLED)
                return
        for worker in self.workers:
            if worker.job is job:
                worker.send({"cancel": job.number})

    def next(self) -> Job | None:
        """The next job, when there is one; None where the queue is closed"""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return None if self._closed else self._waiting.pop(0)

    def close(self) -> None:
        """End all workers; what waits or runs is cancelled."""
        with self._changed:
            self._closed = True
            while self._waiting:
                self._waiting.pop().end(CANCELLED)
            self._changed.notify_all()
        for worker in self.workers:
            worker.close()


class _Worker:
    """A worker process, and the thread that gives it jobs. A process that ends is started again."""

    def __init__(self, command: list[str], queue: Queue):
        self.command, self.queue, self.job = command, queue, None
        self.trouble = ""  # why it could not load its weights
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.process = self._started()

    def _started(self) -> subprocess.Popen:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return subprocess.Popen(self.command, text=True, encoding="utf-8", **pipes)

    def abilities(self) -> dict:
        """What it says of itself first. Raises QueueError."""
        event = self._event()
        if event is None or "error" in event:
            raise QueueError(event["error"] if event else "the worker ended before it was ready")
        return event["ready"]

    def send(self, message: dict) -> None:
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except OSError:
            pass  # a worker that has ended, which reading its answers shows

    def close(self) -> None:
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _event(self) -> dict | None:
        """The worker's next line, None where it has ended"""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def _work(self) -> None:
        while (job := self.queue.next()) is not None:
            self.job, job.state = job, RUNNING
            output = str(job.output)
            order = {"task": job.task, "arguments": job.arguments, "output": output}
            self.send({"job": job.number} | order)
            while not job.ended.is_set():
                self._follow(job, self._event())
            self.job = None

    def _follow(self, job: Job, event: dict | None) -> None:
        if event is None:
            status = self.process.wait()
            lost = f"the worker ended (status {status}), maybe for want of memory"
            job.end(FAILED, self.trouble or lost)
            self.process, self.trouble = self._started(), ""
            return
        if "job" not in event:  # said of itself, when it starts
            self.trouble = event.get("error", "")
            return
        if "step" in event:
            job.step, job.steps = event["step"], event["steps"]
        elif "done" in event:
            job.files, job.notes = [Path(file) for file in event["done"]], event["notes"]
            job.end(DONE)
        elif "cancelled" in event:
            job.end(CANCELLED)
        else:
            job.end(FAILED, event["error"])
