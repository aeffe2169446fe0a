"""`qwenimage serve` over HTTP: pictures in order, limits, one line for what cannot be served."""

import concurrent.futures
import http.client
import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from helpers import speed
from helpers.served_page import children, gone, page, start
from PIL import Image

from qwenimage_ref import cli
from qwenimage_ref.png_settings import read_settings
from qwenimage_ref.serve.server import MOST_BYTES, PortError, listening

pytest.importorskip("gradio")
PROMPT = "a red circle left of a blue star on a white background"
# prompt, size, seed, random, rewrite, negative, guidance, steps, lightning
FIELDS = [PROMPT, "128x128", 0, False, False, "", 4, 2, False]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with page(tmp_path_factory.mktemp("served")) as running:
        yield running


def asked(served, *, api="paint", wait=120.0, **changes) -> list:
    """One request, as the page's own script makes it -> the last event's result, seed, ..."""
    names = "prompt size seed random rewrite negative cfg steps lightning".split()
    values = [changes.get(name, value) for name, value in zip(names, FIELDS)]
    session = changes.get("session", os.urandom(6).hex())
    config = get(served, "config")
    index = next(d["id"] for d in json.loads(config)["dependencies"] if d["api_name"] == api)
    body = {"data": values, "fn_index": index, "session_hash": session}
    post(served, "gradio_api/queue/join", json.dumps(body).encode())
    url = f"{served.address}gradio_api/queue/data?session_hash={session}"
    latest: list = []
    with urllib.request.urlopen(url, timeout=speed.wall_seconds(wait)) as events:
        for line in events:
            event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
            if event.get("msg") == "process_completed":
                output = event["output"]
                return output["data"] if "data" in output else [output["error"]]
    return latest


def get(served, path: str, **headers) -> str:
    request = urllib.request.Request(f"{served.address}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=speed.wall_seconds(60)) as answer:
        return answer.read().decode()


def post(served, path: str, body: bytes, kind="application/json") -> tuple[int, str]:
    request = urllib.request.Request(f"{served.address}{path}", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=speed.wall_seconds(60)) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def name_in(result: str) -> str:
    return re.search(r'src="pictures/([^"]+)"', result)[1]


def test_a_picture_of_the_page_is_that_of_the_command_and_is_painted_again(served, tmp_path):
    file = served.history / name_in(asked(served, seed=5)[0])
    plain, again = tmp_path / "plain.png", tmp_path / "again.png"
    command = ["paint", PROMPT, "--seed", "5", "--steps", "2", "-o", str(plain)]
    assert cli.main([*command, "--size", "128x128"]) == 0
    assert cli.main(["paint", "--again", str(file), "-o", str(again)]) == 0
    pictures = [np.asarray(Image.open(each)) for each in (file, plain, again)]
    assert np.array_equal(pictures[0], pictures[1]) and np.array_equal(pictures[0], pictures[2])


def test_requests_are_answered_in_order_and_memory_stays_flat(served):
    (worker,) = children(served.process.pid)

    def resident(pid: int) -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])

    asked(served)  # what is loaded once is loaded
    before = resident(worker), resident(served.process.pid)
    with concurrent.futures.ThreadPoolExecutor(8) as people:
        wishes = [people.submit(asked, served, seed=100 + n) for n in range(8)]
        results = [wish.result() for wish in wishes]
    assert [result[1] for result in results] == [100 + n for n in range(8)]
    assert len({name_in(result[0]) for result in results}) == 8
    after = resident(worker), resident(served.process.pid)
    assert [b - a < 40_000 for a, b in zip(before, after)] == [True, True], (before, after)


def test_what_a_visitor_wrote_is_shown_as_text(served):
    text = '<img src=x onerror="alert(1)"> a red circle'
    result, _, _, history = asked(served, prompt=text)
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
def test_a_wish_that_cannot_be_followed_is_one_line(served, changes, line):
    result = asked(served, **changes)[0]
    assert line in result and "<img" not in result


@pytest.mark.parametrize("size, line", [("100x100", "not a choice|not in the list|must be")])
def test_a_size_that_is_not_offered_is_refused(served, size, line):
    assert re.search(line, str(asked(served, size=size)[0]))


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


def test_a_page_elsewhere_cannot_call_this_one_by_another_name(served):
    with pytest.raises(urllib.error.HTTPError, match="421"):
        get(served, "", Host="elsewhere.example")


@pytest.mark.parametrize("path", ["/etc/hostname", "pictures/../../etc/hostname", "../log"])
def test_no_other_file_of_this_machine_is_served(served, path):
    for prefix in ("gradio_api/file=", "pictures/"):
        with pytest.raises(urllib.error.HTTPError, match="40[34]"):
            get(served, prefix + urllib.request.quote(path, safe=""))


def test_the_browser_is_told_to_call_no_other_host(served):
    with urllib.request.urlopen(served.address, timeout=speed.wall_seconds(60)) as answer:
        policy = answer.headers["Content-Security-Policy"]
    sources = {word for word in policy.replace(";", " ").split() if "." in word or "*" in word}
    assert "default-src 'self'" in policy and sources == set()


def test_no_process_of_the_page_calls_another_host(served):
    asked(served)
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
