"""The process that paints for `qwenimage serve`: weights loaded once, one job after the other.

Started by cli/serve.py; serve/jobs.py describes the lines that it reads and writes.
"""

import argparse
import contextlib
import copy
import io
import itertools
import json
import os
import queue
import sys
import threading
import warnings

from . import layers, loading, paint
from .console import reason, say

NOTE = "qwenimage: note: "
COMMANDS = {
    "paint": (paint, "--output"),
    "layers": (layers, "--to"),
}  # command, and its output's option


class Cancelled(Exception):
    """The job that is being painted is no longer wanted."""


class Worker:
    """One pipeline, the jobs that wait for it, and where its answers go."""

    def __init__(self, fixed: list[str], answers):
        self.fixed, self.answers = fixed, answers  # arguments of every job, of cli/loading.py
        self.pipe = None
        self.jobs: queue.Queue[dict | None] = queue.Queue()
        self.job, self.unwanted = 0, set()  # numbers of the job at work, and of cancelled ones

    def answer(self, **event) -> None:
        self.answers.write(json.dumps(event) + "\n")
        self.answers.flush()

    def listen(self, lines) -> None:
        """Take jobs and cancellations until the server has gone; then end at once."""
        for line in lines:
            message = json.loads(line)
            if "cancel" in message:
                self.unwanted.add(message["cancel"])
            else:
                self.jobs.put(message)
        os._exit(0)  # in the middle of a step, too; files are written whole or not at all

    def work(self) -> None:
        while True:
            message = self.jobs.get()
            self.job = message["job"]
            self.answer(job=self.job, **self.outcome(message))
            self.unwanted.discard(self.job)

    def outcome(self, message: dict) -> dict:
        """A job -> what is said of its end"""
        console = io.StringIO()  # what the command prints for a reader at a terminal
        try:
            with contextlib.redirect_stderr(console), contextlib.redirect_stdout(io.StringIO()):
                files = self.run(message)
        except Cancelled:
            return {"cancelled": True}
        except (ValueError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
            return {"error": " ".join(reason(error).split())}
        finally:
            self.unload()
        lines = console.getvalue().splitlines()
        notes = [line.removeprefix(NOTE) for line in lines if line.startswith(NOTE)]
        return {"done": [str(file) for file in files], "notes": notes}

    def run(self, message: dict) -> list:
        """Run the job's command -> the files that it wrote"""
        command, target = COMMANDS[message["task"]]
        words = [*self.fixed, f"{target}={message['output']}", *message["arguments"]]
        return command.make(command.parse(words), self.load, self.progress)

    def load(self, options, adapters):
        """In place of loading.load: the pipeline that is loaded already, with other adapters"""
        loading.attach(self.pipe, adapters, options.lora_partial)
        return copy.copy(self.pipe)  # a command may change its schedule

    def unload(self) -> None:
        loading.detach(self.pipe)

    @contextlib.contextmanager
    def progress(self, steps: int):
        """In place of loading.progress: the server is told, and tells when to stop"""
        done = itertools.count()

        def advance(*_) -> None:
            if self.job in self.unwanted:
                raise Cancelled
            self.answer(job=self.job, step=next(done), steps=steps)

        advance()
        yield advance


def abilities(options: argparse.Namespace) -> dict:
    """What a page can ask of these weights. Raises ValueError, one line."""
    from ..checkpoint import locate
    from ..checkpoint.model_folder import picture_form, read_model_index
    from ..conditions import EditForm, LayeredForm
    from ..pocket.notes import training_of

    folder = locate.resolve(options.weights)
    form, training = picture_form(folder), training_of(folder)
    kind = "layers" if isinstance(form, LayeredForm) else "edit" if form is not None else "text"
    return {
        "name": folder.name,
        "kind": kind,
        "pictures": form.most if isinstance(form, EditForm) else 1,
        "pocket": training is not None,
        "sizes": sorted(training.sizes) if training else [],
    } | read_model_index(folder)


def main(arguments: list[str]) -> None:
    """arguments: those of cli/loading.py."""
    options = loading.parse(loading.add_arguments, arguments)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed is no answer
    worker = Worker(arguments, answers)
    warnings.showwarning = lambda message, *_: say(f"note: {message}")
    try:
        worker.answer(ready=abilities(options))
        threading.Thread(target=worker.listen, args=(sys.stdin,), daemon=True).start()
        worker.pipe = loading.base(options)
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        worker.answer(error=" ".join(reason(error).split()))
        raise SystemExit(2) from None
    worker.work()


if __name__ == "__main__":
    main(sys.argv[1:])
