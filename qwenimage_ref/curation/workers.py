"""Work on shards, one after the other, in several processes of this machine, or on a Ray cluster.

    for result in Local(2).map(work, items): ...

`work` is a function that can be pickled, from an item's name to a small dict, and harmless to
repeat: what it writes is whole or not there. So a worker that is killed loses nothing and doubles
nothing, its item is simply given to another one.
"""

import contextlib
import json
import logging
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from ..extras import demand_extra
from ..files import look_again, shorten

Work = Callable[[str], dict]
TRIES = 3  # how often a worker may die over one item
PAUSE = 1.0  # seconds in which the system ends a killed worker and releases the locks on its files
REMEDY = "what is finished stays, and the same command continues"


class WorkError(ValueError):
    """Work that failed on one item, or whose workers die; one line says which, and what to do."""


class Local:
    """Processes of this machine; a single one is this process itself."""

    def __init__(self, processes: int = 1):
        if processes < 1:
            raise ValueError(f"processes must be at least 1, got {processes}")
        self.processes = processes

    def map(self, work: Work, items: list[str]) -> Iterator[dict]:
        """Yields the result of each item as it comes. Raises WorkError, one line."""
        if self.processes == 1:
            for item in items:
                yield _demand(_guarded(work, item))
            return
        waiting, deaths = dict.fromkeys(items), 0
        while waiting:
            # spawned: a fork would inherit the locks of torch's threads
            with ProcessPoolExecutor(self.processes, get_context("spawn")) as pool:
                try:
                    futures = [pool.submit(_guarded, work, item) for item in waiting]
                    for future in as_completed(futures):
                        result = future.result()
                        waiting.pop(result["item"])
                        yield _demand(result)
                        deaths = 0
                except BrokenProcessPool:
                    deaths += 1
                    if deaths == TRIES:
                        raise _dying(list(waiting)) from None


class RayData:
    """A Ray cluster: the one at `address`, or a new one of so many workers on this machine."""

    def __init__(self, processes: int = 1, address: str | None = None):
        demand_extra("ray")
        self.processes, self.address = processes, address

    def map(self, work: Work, items: list[str]) -> Iterator[dict]:
        """Yields the result of each item as it comes. Raises WorkError, one line."""
        import ray

        with self._cluster(ray):
            rows = ray.data.from_items([{"item": item} for item in items])
            begun = ray.remote(num_cpus=0)(_Begun).remote()
            # a block an item, or one worker would take them all
            rows = rows.repartition(len(items)).map(_Row(work, begun), num_cpus=1)
            try:
                for row in rows.iter_rows():
                    yield _demand(json.loads(row["result"]))
            except ray.exceptions.RayTaskError as error:  # the work catches its own errors
                reason = shorten([str(error).strip().splitlines()[-1]])
                raise WorkError(
                    f"a worker could not begin ({reason}); install the same packages for all"
                ) from None
            except ray.exceptions.RayError:
                raise _dying(items) from None

    @contextlib.contextmanager
    def _cluster(self, ray):
        """Context of a cluster, which ends with it unless it was there before."""
        started = not ray.is_initialized()
        if started:
            self._start(ray)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        try:
            yield
        finally:
            if started:
                ray.shutdown()

    def _start(self, ray) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_task_oom_retries", str(TRIES))
        new = {}
        if not self.address:
            # the loopback address: a new cluster is this machine's business alone
            new = {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
            new["num_cpus"] = self.processes
            # a password of this run; left to itself, Ray keeps one in the home folder
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        # several tries: Ray gives up on a busy machine after 30 seconds, whatever is configured
        for tries_left in reversed(range(1 if self.address else TRIES)):
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.ERROR, **new)
                return
            except Exception as error:  # Ray raises almost anything, a plain Exception for one
                if tries_left:
                    ray.shutdown()
                    continue
                reason = shorten([" ".join(str(error).split())])
                raise WorkError(
                    f"a Ray cluster must be there or be started, got none ({reason}); check the "
                    "address, or leave --ray out"
                ) from None


class _Begun:
    """How often each item was begun, counted in a process of its own that outlives workers."""

    def __init__(self):
        self.times = Counter()

    def add(self, item: str) -> int:
        self.times[item] += 1
        return self.times[item]


class _Row:
    """The work as Ray Data calls it: rows of columns in, rows of columns out.

    Ray Data gives an item whose worker died to the next worker without end, so tries are counted
    here. begun: Ray's handle of a `_Begun`.
    """

    def __init__(self, work: Work, begun):
        self.work, self.begun = work, begun

    def __call__(self, row: dict) -> dict:
        import ray

        item = row["item"]
        times = ray.get(self.begun.add.remote(item))
        if times > TRIES:
            answer = {"item": item, "error": str(_dying([item]))}
        else:
            if times > 1:  # the worker before was killed, and its half file is removed
                time.sleep(PAUSE)
                look_again()
            answer = _guarded(self.work, item)
        return {"result": json.dumps(answer)}


def _guarded(work: Work, item: str) -> dict:
    """The item's result, or the line that says why there is none: errors may not be picklable"""
    try:
        return {"item": item, "result": work(item)}
    except (ValueError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        line = str(error)
        if isinstance(error, MemoryError) or NO_MEMORY in line:
            line = f"{item}: a worker has no memory left; {LESS}; {REMEDY}"
        return {"item": item, "error": line}


NO_MEMORY = "can't allocate memory"  # torch's words, in a RuntimeError
LESS = "use fewer workers or smaller shards"


def _demand(answer: dict) -> dict:
    if "error" in answer:
        raise WorkError(answer["error"])
    return answer["result"]


def _dying(items: list[str]) -> WorkError:
    return WorkError(
        f"workers were killed {TRIES} times over {shorten(items)}, perhaps for want of memory; "
        f"{LESS}; {REMEDY}"
    )
