"""The queue of the page: order, cancelling, workers that end, and workers that cannot begin."""

import sys
import threading
import time

import pytest
from helpers import speed

from qwenimage_ref.serve import jobs
from qwenimage_ref.serve.jobs import CANCELLED, DONE, FAILED, Queue, QueueError

# a worker without a model: its jobs are lines of Python
WORKER = """
import json, os, sys, threading, time
unwanted, orders = set(), []
def say(**event):
    sys.stdout.write(json.dumps(event) + chr(10)); sys.stdout.flush()
def listen():
    for line in sys.stdin:
        message = json.loads(line)
        unwanted.add(message["cancel"]) if "cancel" in message else orders.append(message)
    os._exit(0)
say(ready={"name": "none"})
threading.Thread(target=listen, daemon=True).start()
while True:
    while not orders: time.sleep(0.01)
    order = orders.pop(0)
    job, outcome = order["job"], {"done": [order["output"]], "notes": ["painted"]}
    exec(order["arguments"][0])
    say(job=job, **outcome)
"""
WAIT = "while job not in unwanted: time.sleep(0.01)\noutcome = {'cancelled': True}"


@pytest.fixture
def queue():
    queue = Queue([[sys.executable, "-c", WORKER]])
    assert queue.abilities() == {"name": "none"}
    queue.start()
    yield queue
    queue.close()


def wait_for(condition) -> None:
    give_up = time.monotonic() + speed.wall_seconds(30)
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def ended(job) -> str:
    assert job.ended.wait(speed.wall_seconds(30))
    return job.state


def test_jobs_are_painted_in_the_order_in_which_they_were_asked_for(queue, tmp_path):
    log = tmp_path / "log"
    line = f"open({str(log)!r}, 'a').write(order['output'] + ' ')"
    all_jobs = [queue.submit("paint", [line], tmp_path / str(n)) for n in range(20)]
    assert [ended(job) for job in all_jobs] == [DONE] * 20
    assert log.read_text().split() == [str(tmp_path / str(n)) for n in range(20)]
    assert all_jobs[3].files == [tmp_path / "3"] and all_jobs[3].notes == ["painted"]


def test_a_request_that_came_first_goes_first_however_long_it_was_read(queue, tmp_path):
    running = queue.submit("paint", [WAIT], tmp_path, arrival=1)
    wait_for(lambda: running.state == jobs.RUNNING)
    third, second = (queue.submit("paint", ["pass"], tmp_path, arrival=n) for n in (3, 2))
    assert [queue.place(job) for job in (second, third)] == [1, 2]
    queue.cancel(running)


def test_two_workers_share_the_jobs(tmp_path):
    queue = Queue([[sys.executable, "-c", WORKER]] * 2)
    queue.abilities()
    queue.start()
    both = [queue.submit("paint", [WAIT], tmp_path) for _ in range(2)]
    wait_for(lambda: all(job.state == jobs.RUNNING for job in both))
    queue.close()


def test_a_job_says_how_many_come_before_it_and_how_far_it_is(queue, tmp_path):
    first = queue.submit("paint", ["say(job=job, step=3, steps=9)\n" + WAIT], tmp_path)
    second, third = (queue.submit("paint", ["pass"], tmp_path) for _ in range(2))
    wait_for(lambda: first.steps)
    assert (first.step, first.steps) == (3, 9)
    assert [queue.place(job) for job in (first, second, third)] == [0, 1, 2]
    queue.cancel(first)
    assert [ended(job) for job in (first, second, third)] == [CANCELLED, DONE, DONE]


def test_a_job_that_waits_is_cancelled_at_once_and_never_painted(queue, tmp_path):
    first = queue.submit("paint", [WAIT], tmp_path)
    second = queue.submit("paint", [f"open({str(tmp_path / 'no')!r}, 'w')"], tmp_path)
    queue.cancel(second)
    assert second.state == CANCELLED and second.ended.is_set()
    queue.cancel(first)
    assert ended(first) == CANCELLED and not (tmp_path / "no").exists()


def test_a_worker_that_dies_costs_one_job_and_is_started_again(queue, tmp_path):
    first = queue.submit("paint", ["os._exit(9)"], tmp_path)
    second = queue.submit("paint", ["pass"], tmp_path)
    assert ended(first) == FAILED and "the worker ended (status 9)" in first.error
    assert ended(second) == DONE


def test_an_error_of_the_worker_is_the_job_s(queue, tmp_path):
    job = queue.submit("paint", ["outcome = {'error': 'use smaller sides'}"], tmp_path)
    assert ended(job) == FAILED and job.error == "use smaller sides"


def test_more_than_a_hundred_do_not_wait(queue, tmp_path):
    running = queue.submit("paint", [WAIT], tmp_path)
    wait_for(lambda: running.state == jobs.RUNNING)
    for _ in range(jobs.MOST_WAITING):
        last = queue.submit("paint", ["pass"], tmp_path)
    with pytest.raises(QueueError, match="at most 100 pictures can wait"):
        queue.submit("paint", ["pass"], tmp_path)
    queue.close()
    assert last.state == CANCELLED


@pytest.mark.parametrize(
    "worker, line",
    [
        ('print(\'{"error": "no such folder"}\')', "no such folder"),
        ("pass", "ended before it was ready"),
    ],
)
def test_a_worker_that_cannot_begin_is_one_line(worker, line):
    queue = Queue([[sys.executable, "-c", worker]])
    with pytest.raises(QueueError, match=line):
        queue.abilities()
    queue.close()


def test_no_worker_is_left_behind(queue):
    processes = [worker.process for worker in queue.workers]
    queue.close()
    assert [process.poll() for process in processes] == [0]
    wait_for(lambda: not any(worker.thread.is_alive() for worker in queue.workers))
    assert threading.active_count() >= 1
