"""`qwenimage serve` over HTTP: pictures in order, limits, one line for what cannot be served."""

import concurrent.futures
import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from helpers import speed
from helpers.served_page import gone, page, start
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.png_settings import read_settings
from qwenimage_ref.repository import MEASUREMENTS, POCKET
from qwenimage_ref.serve.client import Client, name_in
from qwenimage_ref.serve.measure import (
    QUEUED_STEPS,
    children,
    processor_seconds,
    resident,
    settings_used,
)
from qwenimage_ref.serve.server import MOST_BYTES, PortError, listening

pytest.importorskip("gradio")
PROMPT = "a red circle left of a blue star on a white background"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="module")
def visitor(served):
    return Client(served.address, speed.wall_seconds(120))


def test_a_picture_of_the_page_is_that_of_the_command_and_is_painted_again(
    visitor, served, tmp_path
):
    file = served.history / name_in(visitor.ask(steps=2, seed=5)[0])
    plain, again = tmp_path / "plain.png", tmp_path / "again.png"
    command = ["paint", PROMPT, "--seed", "5", "--steps", "2", "-o", str(plain)]
    assert cli.main([*command, "--size", "128x128"]) == 0
    assert cli.main(["paint", "--again", str(file), "-o", str(again)]) == 0
    pictures = [np.asarray(Image.open(each)) for each in (file, plain, again)]
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])


def test_requests_are_answered_in_order_and_memory_stays_flat(visitor, served):
    (worker,) = children(served.process.pid)

    visitor.ask(steps=2)  # what is loaded once is loaded
    before = resident(worker), resident(served.process.pid)
    sessions = [visitor.join(steps=2, seed=100 + n) for n in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as people:
        shown = list(people.map(visitor.wait, sessions))
    files = [served.history / name_in(each[0]) for each in shown]
    assert [read_settings(file)["options"]["seed"] for file in files] == list(range(100, 108))
    assert sorted(files, key=lambda file: file.stat().st_mtime_ns) == files
    after = resident(worker), resident(served.process.pid)
    assert [b - a < 40 for a, b in zip(before, after)] == [True, True], (before, after)


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is looked up in /proc")
def test_the_first_page_takes_five_seconds_and_a_picture_one_more_than_without_it(visitor, served):
    # processor seconds: beside other tests the clock on the wall measures those too
    assert served.first_page <= speed.cpu_seconds(5)
    before = processor_seconds(served.process.pid)
    visitor.ask()
    assert processor_seconds(served.process.pid) - before <= speed.cpu_seconds(1)


def test_the_record_says_the_steps_that_were_asked_for():
    record = json.loads((MEASUREMENTS / "serve.json").read_text(encoding="utf-8"))
    assert record["settings"] == settings_used()
    assert record["settings"]["steps"] == {"one at a time": 20, "at once": QUEUED_STEPS}


def test_what_a_visitor_wrote_is_shown_as_text(visitor, served):
    text = '<img src=x onerror="alert(1)"> a red circle'
    result, _, _, history = visitor.ask(steps=2, prompt=text)
    for shown in (result, history):
        assert "&lt;img src=x onerror=&quot;" in shown and "<img src=x" not in shown
    assert read_settings(served.history / name_in(result))["options"]["prompt"] == text


@pytest.mark.parametrize(
    "changes, line",
    [
        ({"prompt": "  "}, "the prompt must say what to paint"),
        ({"seed": -1}, "the seed must be a whole number from 0"),
        ({"prompt": "x" * 10_001}, "at most 10,000 characters"),
    ],
)
def test_a_wish_that_cannot_be_followed_is_one_line(visitor, changes, line):
    result = visitor.ask(steps=2, **changes)[0]
    assert line in result and "<img" not in result


@pytest.mark.parametrize("size, line", [("100x100", "not a choice|not in the list|must be")])
def test_a_size_that_is_not_offered_is_refused(visitor, size, line):
    assert re.search(line, str(visitor.ask(steps=2, size=size)[0]))


def test_a_request_of_100_mb_is_answered_in_one_line(served):
    connection = http.client.HTTPConnection(*served.address[7:-1].split(":"))
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Length", str(100_000_000))
    connection.endheaders()  # the answer comes before the body
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, limit())


def test_a_body_without_a_length_is_counted(served):
    connection = http.client.HTTPConnection(*served.address[7:-1].split(":"))
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="x.png"\r\n\r\n'
    body = [part, *[bytes(1_000_000)] * (MOST_BYTES // 10**6 + 1)]
    connection.request("POST", "/gradio_api/upload", iter(body), kind, encode_chunked=True)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, limit())


def limit() -> bytes:
    return b"a request must be at most 32 MB; shrink the picture\n"


def test_a_page_elsewhere_cannot_call_this_one_by_another_name(visitor):
    with pytest.raises(urllib.error.HTTPError, match="421"):
        visitor.get("", Host="elsewhere.example")


@pytest.mark.parametrize("path", ["/etc/hostname", "pictures/../../etc/hostname", "../log"])
def test_no_other_file_of_this_machine_is_served(visitor, path):
    for prefix in ("gradio_api/file=", "pictures/"):
        with pytest.raises(urllib.error.HTTPError, match="40[34]"):
            visitor.get(prefix + urllib.request.quote(path, safe=""))


def test_the_browser_is_told_to_call_no_other_host(served):
    with urllib.request.urlopen(served.address, timeout=speed.wall_seconds(60)) as answer:
        policy = answer.headers["Content-Security-Policy"]
    sources = {word for word in policy.replace(";", " ").split() if "." in word or "*" in word}
    assert "default-src 'self'" in policy and sources == set()


@pytest.mark.parametrize("place", ["http://example.com/x.png", str(POCKET / "config.json"), 3])
def test_a_visitor_cannot_name_a_file_that_was_not_uploaded(visitor, served, place):
    picture = {"path": place, "url": place, "meta": {"_type": "gradio.FileData"}}
    shown = visitor.wait(visitor.join("image", (picture, 0.5)))
    assert shown == [
        "a picture must be uploaded to this page; addresses and other files are not read"
    ]
    assert not served.calls.exists() or "example.com" not in served.calls.read_text()


def test_no_process_of_the_page_calls_another_host(visitor, served):
    visitor.ask(steps=2)
    called = served.calls.read_text().splitlines() if served.calls.exists() else []
    assert [call for call in called if "127.0.0.1" not in call and "localhost" not in call] == []


def test_a_second_page_on_the_same_port_is_one_line(served, tmp_path, capsys):
    port = served.address.rstrip("/").rpartition(":")[2]
    status = cli.main(["serve", "--port", port, "--history", str(tmp_path)])
    error = capsys.readouterr().err.strip()
    assert status == 2 and "\n" not in error
    assert f"--port {port} cannot be served at (Address already in use)" in error


@pytest.mark.parametrize(
    "words, line",
    [
        (["--port", "99999"], "--port 99999 cannot be served at"),
        (["--port", "0", "--weights", "no/where"], "no/where is neither a folder nor a model"),
        (["--port", "0", "--device", "cpu,cpu"], "--device must name each device once"),
        (["--port", "0", "--host", "256.0.0.1"], "--host 256.0.0.1 --port 0 cannot be served at"),
    ],
)
def test_a_page_that_cannot_be_served_is_one_line(tmp_path, capfd, words, line):
    status = cli.main(["serve", *words, "--history", str(tmp_path / "h")])
    error = capfd.readouterr().err.strip()
    assert status == 2 and line in error and "\n" not in error


def test_the_server_loads_no_torch(served):
    maps = Path(f"/proc/{served.process.pid}/maps")
    if not maps.exists():
        pytest.skip("this system does not list what a process has loaded")
    assert "libtorch" not in maps.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_no_worker_outlives_a_server_that_was_killed(tmp_path):
    killed = start(tmp_path, "--port", "0")
    workers = children(killed.process.pid)
    killed.process.kill()
    killed.process.wait(speed.wall_seconds(30))
    assert len(workers) == 1 and all(map(gone, workers))


def test_a_port_is_free_again_when_its_page_has_ended():
    first = listening("127.0.0.1", 0)
    port = first.getsockname()[1]
    with pytest.raises(PortError, match="Address already in use"):
        listening("127.0.0.1", port)
    first.close()
    listening("127.0.0.1", port).close()
