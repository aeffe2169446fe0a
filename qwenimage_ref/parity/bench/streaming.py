"""Streaming from a cold disk beside the peers, and a whole picture from 57.7 GB of weights.

python -m qwenimage_ref.parity.bench.streaming FOLDER            12 blocks, about ten minutes
python -m qwenimage_ref.parity.bench.streaming FOLDER --whole    all 60, a picture in four steps
python -m qwenimage_ref.parity.bench.streaming FOLDER --packed   2 blocks: bf16, fp8, Q8_0 and Q4_0

A FOLDER that does not exist is forged and deleted at the end. Each measurement runs in a process of
its own (streaming_tasks.py) and is written to data/measurements/streaming.json when it is done.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from ...checkpoint import load_into, locate
from ...checkpoint.config_files import write_json
from ...checkpoint.forge import POCKET_TOKENIZER, first_blocks, forge
from ...checkpoint.model_folder import empty_network
from ...files import read_json
from ...formats.fp8 import save_fp8
from ...formats.gguf import save_gguf
from ...provenance import provenance
from ...repository import MEASUREMENTS, in_a_clone
from .parts import distance
from .streaming_tasks import packed, streamed

FILE = MEASUREMENTS / "streaming.json"
BLOCKS = 12
ROUNDS = 3  # repetitions of all tasks; the median is reported
INTERPRETER = "import torch; print(open('/proc/self/status').read())"
TASKS = ("read", "compute", "pass", "step", "accelerate", "group offload")
PEERS = ("accelerate", "group offload")
FORMATS = {  # beside bf16: functions that write a file in each format
    "fp8": lambda mmdit, file: save_fp8(mmdit, file.with_suffix(".safetensors"), "tensor"),
    "Q8_0": lambda mmdit, file: save_gguf(mmdit, file.with_suffix(".gguf"), "Q8_0"),
    "Q4_0": lambda mmdit, file: save_gguf(mmdit, file.with_suffix(".gguf"), "Q4_0"),
}
ABOUT = {
    "tokens": "256 of an image of 256x256 pixels, 20 of text, 6 in the negative branch; bf16",
    "read": "every byte of the blocks in the pieces in which a stream reads them",
    "compute": "one block in memory, called as often as there are blocks",
    "pass": "one branch, streamed",
    "step": "a guided step, streamed: both branches in one pass, guidance, Euler step",
    "accelerate": "the same with diffusers' transformer and accelerate's disk offload, which reads "
    "each block from the same files, once for each branch",
    "group offload": "the same with diffusers' group offload to disk, which reads its own copy",
    "cold": "the system's copies of the files in memory are dropped before each pass",
    "read_gb": "what the system says it fetched from the disk for the process",
    "peak_gb": "VmHWM: the most memory that the process held at once from its start on, its own "
    "and mapped from files; above_gb is what of it exceeds an interpreter that imported torch",
    "packed": "one branch, streamed from each format; weights_mb are the files', error the root "
    "mean square distance of the velocity to bf16's, relative to it",
    "streamed ...": "a model that is given pictures, at 256x256 pixels (streaming_pictures.py); "
    "most_gb is the limit of above_gb",
    "lora_gb": "the LoRAs' files, of two blocks; they are not streamed, and lora_gb_of_all_blocks "
    "is what those of all sixty take",
    "own_gb, mapped_gb": "the most of either that was seen, looking every 20 ms",
}


def run_task(task: str, folder: Path, copy: Path) -> dict:
    """Run one measurement in a fresh process, passing on its progress -> its result"""
    command = [
        sys.executable,
        "-m",
        "qwenimage_ref.parity.bench.streaming_tasks",
        task,
        folder,
        copy,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = ""
        for line in process.stdout:
            if not line.startswith("{"):
                print(line, end="", flush=True)
    if process.returncode or not line.startswith("{"):
        raise SystemExit(f"{task} stopped with status {process.returncode}")
    return json.loads(line)


def interpreter_gb() -> float:
    """The peak memory of a process that only imports torch."""
    command = [sys.executable, "-c", INTERPRETER]
    status = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return next(int(x.split()[1]) * 1024 / 1e9 for x in status.splitlines() if "VmHWM" in x)


def compare(folder: Path, rounds: int) -> dict:
    """Run all tasks in turn, several times -> `summary` of the results"""
    interpreter, results = interpreter_gb(), {task: [] for task in TASKS}
    copy = folder.with_name(folder.name + ".copy")
    try:
        print("diffusers writes its copy of the blocks", flush=True)
        run_task("group offload", folder, copy)
        for number in range(1, rounds + 1):
            for task in TASKS:
                result = run_task(task, folder, copy)
                results[task].append(result)
                peak, seconds = result["peak_gb"] - interpreter, result["seconds"]
                print(
                    f"round {number}, {task:14} {seconds:7.2f} s  {result['read_gb']:6.2f} GB read "
                    f"{peak:6.2f} GB above the interpreter",
                    flush=True,
                )
            keep(cold=summary(results, folder, interpreter))
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return summary(results, folder, interpreter)


def summary(results: dict[str, list[dict]], folder: Path, interpreter: float) -> dict:
    """{task: its results} -> medians, every time, and ratios of tasks, for the record"""
    tasks = {}
    for task, rounds in results.items():
        medians = {
            key: statistics.median(result[key] for result in rounds)
            for key in rounds[0]
            if key != "sha256"
        }
        peak = max(result["peak_gb"] for result in rounds)
        times = {"seconds_each": [result["seconds"] for result in rounds]}
        tasks[task] = medians | times | {"above_gb": round(peak - interpreter, 3)}
    seconds = {task: row["seconds"] for task, row in tasks.items()}
    bound = max(seconds["read"], seconds["compute"])
    steps = {result["sha256"] for task in ("step", *PEERS) for result in results[task]}
    return {
        "blocks": len(empty_network(folder, "transformer").transformer_blocks),
        "interpreter_gb": round(interpreter, 3),
        "tasks": tasks,
        "pass over max(read, compute)": round(seconds["pass"] / bound, 3),
        "step over the faster peer": round(
            seconds["step"] / min(seconds[peer] for peer in PEERS), 3
        ),
        "same bits as the peers": len(steps) == 1,
    }


def whole(folder: Path) -> dict:
    """A picture of 256x256 pixels by all blocks in the folder -> time, memory, bytes read"""
    interpreter = interpreter_gb()
    result = run_task("picture", folder, folder)
    weights = [file.stat().st_size for file in folder.rglob("*.safetensors")]
    return {
        "blocks": len(empty_network(folder, "transformer").transformer_blocks),
        "weights_gb": round(sum(weights) / 1e9, 1),
        "picture": "256x256, four steps of the Lightning schedule (shift 3), no guidance",
        "interpreter_gb": round(interpreter, 3),
        **result,
        "above_gb": round(result["peak_gb"] - interpreter, 3),
    }


def write_formats(folder: Path, copies: Path) -> dict[str, Path]:
    """Write the folder's transformer in each format to `copies` -> {format: file}"""
    files = {}
    full = empty_network(folder, "transformer")
    load_into(full, folder / "transformer", torch.bfloat16)
    for name, write in FORMATS.items():
        write(full, copies / name)
        (files[name],) = copies.glob(f"{name}.*")
    return files


@torch.no_grad()
def formats(folder: Path, rounds: int) -> dict:
    """The transformer in each format, streamed: bytes, time and error."""
    reference, branches = streamed(folder)
    exact = reference(*branches[0])
    copies = folder.with_name(folder.name + ".packed")
    copies.mkdir()
    try:
        files = write_formats(folder, copies)
        results = {name: [] for name in ("bf16", *files)}
        for _ in range(rounds):
            for name, each in results.items():
                task = "packed" if name in files else "pass"
                each.append(run_task(task, folder, files.get(name, folder)))
        rows = {}
        for name, each in results.items():
            sources = [files[name]] if name in files else (folder / "transformer").glob("*.safe*")
            answer = packed(folder, files[name])[0](*branches[0]) if name in files else exact
            rows[name] = {
                "weights_mb": round(sum(file.stat().st_size for file in sources) / 1e6, 1),
                "seconds": statistics.median(result["seconds"] for result in each),
                "read_gb": statistics.median(result["read_gb"] for result in each),
                "peak_gb": max(result["peak_gb"] for result in each),
                "error": float(f"{distance(answer, exact):.3g}"),
            }
            print(name, json.dumps(rows[name]), flush=True)
    finally:
        shutil.rmtree(copies, ignore_errors=True)
    return {"blocks": len(reference.transformer_blocks), "formats": rows}


def keep(**results) -> None:
    """Add results to the record."""
    before = read_json(FILE) if FILE.is_file() else {}
    source = provenance("diffusers", "accelerate")
    write_json(FILE, before | {"about": ABOUT} | {k: v | source for k, v in results.items()})


def most_blocks(folder: Path) -> int:
    """All sixty blocks, or as many as fit on the disk with a tenth of it to spare."""
    free = shutil.disk_usage(folder.parent).free
    fits = [n for n in range(1, 61) if 1.1 * (3.87 + 0.68 * n + 0.466 * min(n, 28)) * 1e9 < free]
    return max(fits, default=1)


def forge_folder(folder: Path, blocks: int) -> None:
    """Write a checkpoint of random weights with so many blocks."""
    print(f"forging {blocks} blocks in {folder}", flush=True)
    with tqdm(unit="B", unit_scale=True, mininterval=5) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        tokenizer = locate.find("tokenizer") or POCKET_TOKENIZER
        forge(folder, first_blocks(blocks), tokenizer, progress=show)


@in_a_clone
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--whole", action="store_true", help="measure a whole picture instead")
    parser.add_argument("--packed", action="store_true", help="measure the formats instead")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    folder = arguments.folder.expanduser().resolve()
    forged_here = not folder.exists()
    try:
        if forged_here:
            blocks = most_blocks(folder) if arguments.whole else 2 if arguments.packed else BLOCKS
            forge_folder(folder, blocks)
        if arguments.packed:
            result = formats(folder, arguments.rounds)
            keep(packed=result)
        elif arguments.whole:
            result = whole(folder)
            keep(whole=result)
        else:
            result = compare(folder, arguments.rounds)
            del result["tasks"]
        print(json.dumps(result, indent=1))
    finally:
        if forged_here:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
