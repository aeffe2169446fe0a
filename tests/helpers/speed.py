"""Time limits that hold on any machine: written for one, and scaled by a speed measured here.

The calibration runs once a session, a third of a second long; worker processes inherit its result
through the environment. Limits on speed count processor time, which other programs do not use up;
wall time ends a hang and judges nothing.
"""

import contextlib
import gc
import os
import time

import numpy as np

# seconds that `_work` took on the machine that the limits were written on (AMD EPYC 9004, 2023)
REFERENCE = 0.27
# wall time also leaves room for load that begins after the calibration
SPARE = 5
CPU, WALL = "QWENIMAGE_TESTS_CPU_FACTOR", "QWENIMAGE_TESTS_WALL_FACTOR"


def _work() -> None:
    """Python's own speed and that of matrix products, in equal parts."""
    sums = {}
    for i in range(900_000):
        sums[i % 997] = sums.get(i % 997, 0) + i
    matrix = np.random.default_rng(0).standard_normal((384, 384), dtype=np.float32)
    for _ in range(120):
        matrix @ matrix


def calibrate() -> None:
    """Measure how many times slower this machine is; a second call changes nothing."""
    if CPU in os.environ:
        return
    cpu, wall = time.process_time(), time.perf_counter()
    _work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    os.environ[CPU] = str(max(1.0, cpu / REFERENCE))
    os.environ[WALL] = str(max(1.0, cpu / REFERENCE, wall / REFERENCE))


def cpu_seconds(seconds: float) -> float:
    """A limit of processor time, from what is allowed on the reference machine."""
    calibrate()
    return seconds * float(os.environ[CPU])


def wall_seconds(seconds: float) -> float:
    """When to give up waiting, from what is ample on the reference machine without load."""
    calibrate()
    return seconds * float(os.environ[WALL]) * SPARE


@contextlib.contextmanager
def at_most(seconds: float):
    """The block may use so much processor time of this thread, scaled to this machine."""
    start = time.thread_time()
    yield
    used, allowed = time.thread_time() - start, cpu_seconds(seconds)
    assert used <= allowed, f"{used:.2f} s of processor time, {allowed:.2f} allowed"


@contextlib.contextmanager
def own_garbage():
    """What earlier tests of this process left behind is not looked through, from here on.

    After thousands of tests one pass of the collector takes half a second, which is as much as a
    single attempt may take.
    """
    gc.collect()
    gc.freeze()
    yield
