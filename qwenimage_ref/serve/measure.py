"""What the page costs: its first page, a picture through it, and 50 requests at once.

    python -m qwenimage_ref.serve.measure

Starts `qwenimage serve` with the pocket model and writes data/measurements/serve.json.
"""

import argparse
import concurrent.futures
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..pipeline import QwenImage
from ..png_settings import read_settings
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from .client import SETTINGS, Client, name_in

REPEATS = 5  # pictures of which the median counts
QUEUED_STEPS = 2  # steps of each of the requests at once: the queue is measured, not the model


@in_a_clone
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "pictures"
        command = [sys.executable, "-m", "qwenimage_ref.cli", "serve", "--port", "0"]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--history", str(history)], text=True, stdout=subprocess.PIPE
        )
        try:
            address = process.stdout.readline().strip() + "/"
            client = Client(address)
            client.get("")
            first_page = {
                "seconds": round(time.perf_counter() - began, 2),
                "processor seconds of the server": processor_seconds(process.pid),
            }
            result = measure(client, process.pid, history, options.requests)
        finally:
            process.terminate()
            process.wait()
    result = {"first_page": first_page} | result
    for name, value in result.items():
        print(f"{name}: {value}")
    write_record({"settings": settings_used()} | result, MEASUREMENTS / "serve.json")


def settings_used() -> dict:
    """What was asked of the page; steps differ between one picture at a time and many at once"""
    steps = {"one at a time": SETTINGS["steps"], "at once": QUEUED_STEPS}
    return SETTINGS | {"steps": steps}


def measure(client: Client, server: int, history: Path, requests: int) -> dict:
    """-> seconds a picture with the page and without, and what `requests` at once do"""
    client.ask()  # the first one waits for the weights
    through = seconds(lambda seed: client.ask(seed=seed))
    pipe = QwenImage.from_pretrained(POCKET)
    prompt, steps = SETTINGS["prompt"], SETTINGS["steps"]
    alone = seconds(
        lambda seed: pipe(prompt, negative_prompt=" ", num_inference_steps=steps, seed=seed)
    )
    processes = [server, *children(server)]
    before = [resident(process) for process in processes]
    began = time.perf_counter()
    sessions = [client.join(seed=seed, steps=QUEUED_STEPS) for seed in range(requests)]
    with concurrent.futures.ThreadPoolExecutor(requests) as visitors:
        files = [history / name_in(shown[0]) for shown in visitors.map(client.wait, sessions)]
    after = [resident(process) for process in processes]
    written = sorted(files, key=lambda file: file.stat().st_mtime_ns)
    return {
        "picture_seconds": {"through the page": through, "without it": alone},
        "requests": requests,
        "answered": len({read_settings(file)["options"]["seed"] for file in files}),
        "in_order": written == files,
        "seconds": round(time.perf_counter() - began, 1),
        "megabytes_before": dict(zip(("server", "worker"), before)),
        "megabytes_after": dict(zip(("server", "worker"), after)),
    }


def seconds(paint) -> float:
    """paint(seed) -> the median of its seconds"""
    times = []
    for seed in range(REPEATS):
        began = time.perf_counter()
        paint(seed)
        times.append(time.perf_counter() - began)
    return round(statistics.median(times), 2)


def processor_seconds(process: int) -> float:
    """What a process has used of the processors since it began, as the system counts it"""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 2)


def children(process: int) -> list[int]:
    """The processes that one has started; none where the system does not list them"""
    file = Path(f"/proc/{process}/task/{process}/children")
    return [int(word) for word in file.read_text().split()] if file.exists() else []


def resident(process: int) -> float:
    """Memory of a process in megabytes, as the system counts it"""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1000, 1)


if __name__ == "__main__":
    main()
