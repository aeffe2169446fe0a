"""Single measurements of streaming, each run by streaming.py in a process of its own.

python -m qwenimage_ref.parity.bench.streaming_tasks TASK FOLDER COPY     prints one line of JSON
"""

import argparse
import hashlib
import json
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch

from ...adapt.streaming import READERS
from ...checkpoint.headers import find_tensors
from ...checkpoint.model_folder import empty_network
from ...load import load_weights
from ...mmdit import MMDiT
from ...pipeline import QwenImage
from ...sampler import euler_step, guide, sigmas

# careful: diffusers and accelerate are imported only in the tasks that measure them, else their
# memory would count in all others

GRID = (1, 16, 16)  # 256x256 pixels
TEXT_TOKENS = 20, 6  # a short prompt, and the negative prompt " "
SIGMAS = torch.tensor(0.75), torch.tensor(0.5)
PROMPT = "a red circle left of a blue star on a white background"
STEPS = 4
INTERVAL = 0.02  # seconds between two readings of the memory


# -- tasks: each prepares the folder and returns the calls to time, each from a cold disk ----------


def read_task(folder: Path, copy: Path) -> list[Callable]:
    """Reads every byte of the blocks in the order and the pieces of a stream."""
    mmdit, _ = streamed(folder)
    blocks = mmdit.transformer_blocks

    def read():
        with ThreadPoolExecutor(READERS) as readers:
            for i in range(len(blocks)):
                for part in blocks.read_ahead(readers, i):
                    part.result()

    return [read]


def compute_task(folder: Path, copy: Path) -> list[Callable]:
    """Calls one block, resident in memory, as often as there are blocks."""
    mmdit, branches = streamed(folder)
    img, txt, shared = mmdit.embed(*branches[0])
    blocks = mmdit.transformer_blocks
    block = blocks.blocks[0]
    block.load_state_dict(blocks.read(0), assign=True)

    def compute():
        streams = img, txt
        for _ in blocks.places:
            streams = block(*streams, *shared)

    compute()  # the first call also allocates memory
    return [compute]


def pass_task(folder: Path, copy: Path) -> list[Callable]:
    """Streams one branch."""
    mmdit, branches = streamed(folder)
    return [lambda: mmdit(*branches[0])]


def packed_task(folder: Path, copy: Path) -> list[Callable]:
    """The same with an fp8 or GGUF file, whose path is `copy`."""
    mmdit, branches = packed(folder, copy)
    return [lambda: mmdit(*branches[0])]


def step_task(folder: Path, copy: Path) -> list[Callable]:
    """Streams a guided step."""
    mmdit, branches = streamed(folder)
    return [lambda: guided_step(branches, mmdit.many(branches))]


def accelerate_task(folder: Path, copy: Path) -> list[Callable]:
    """A guided step with accelerate's disk offload, which reads blocks from the same files."""
    from accelerate import dispatch_model

    theirs = reference_stack(folder)
    where = find_tensors(folder / "transformer")
    index = {
        key: {"safetensors_file": str(place.file), "weight_name": key, "dtype": "bfloat16"}
        for key, place in where.items()
        if key.startswith("transformer_blocks.")
    }
    rest = {key: tensor for key, tensor in tensors(where) if key not in index}
    theirs.load_state_dict(rest, strict=False, assign=True)
    homes = {name: "cpu" for name, _ in theirs.named_children() if name != "transformer_blocks"}
    blocks = {f"transformer_blocks.{i}": "disk" for i in range(len(theirs.transformer_blocks))}
    dispatch_model(theirs, homes | blocks, main_device="cpu", offload_index=index)
    return two_passes(theirs)


def group_task(folder: Path, copy: Path) -> list[Callable]:
    """A guided step with diffusers' group offload, which reads its own copy of the blocks."""
    from diffusers.hooks import apply_group_offloading

    theirs = reference_stack(folder)
    theirs.load_state_dict(dict(tensors(find_tensors(folder / "transformer"))), assign=True)
    apply_group_offloading(
        theirs,
        onload_device=torch.device("cpu"),
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        offload_to_disk_path=str(copy),
    )
    return two_passes(theirs)


def picture_task(folder: Path, copy: Path) -> list[Callable]:
    """A whole picture with the Lightning schedule: four steps, shift 3, no guidance."""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    shift = math.log(3)
    pipe.scheduler = replace(pipe.scheduler, base_shift=shift, max_shift=shift, shift_terminal=0.0)
    assert sigmas(STEPS, 256, pipe.scheduler).allclose(torch.tensor([1, 0.9, 0.75, 0.5, 0]))

    def paint():
        start = time.perf_counter()

        def report(step, *_):
            print(f"  step {step + 1} at {time.perf_counter() - start:.0f} s", flush=True)

        size = {"height": 256, "width": 256}
        pipe(PROMPT, None, 1.0, **size, num_inference_steps=STEPS, seed=0, callback=report)

    return [paint]


TASKS = {
    "read": read_task,
    "compute": compute_task,
    "pass": pass_task,
    "packed": packed_task,
    "step": step_task,
    "accelerate": accelerate_task,
    "group offload": group_task,
    "picture": picture_task,
}


# -- helpers of the tasks --------------------------------------------------------------------------


def calls(width: int) -> list[tuple]:
    """The arguments of an MMDiT for both branches of a guided step. width: that of text states."""
    generator = torch.Generator().manual_seed(0)
    img = torch.randn(1, math.prod(GRID), 64, generator=generator).bfloat16()
    texts = [torch.randn(1, tokens, width, generator=generator) for tokens in TEXT_TOKENS]
    return [(img, txt.bfloat16(), SIGMAS[0].unsqueeze(0), [GRID]) for txt in texts]


def guided_step(branches: list[tuple], outputs: list[torch.Tensor]) -> torch.Tensor:
    """The latents after a guided step from those of the first branch."""
    return euler_step(branches[0][0], guide(*outputs, 4.0), *SIGMAS)


def streamed(folder: Path) -> tuple[MMDiT, list[tuple]]:
    """Our transformer with its blocks on disk, and the arguments of both branches."""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, folder / "transformer", torch.bfloat16, streamed=True)
    return mmdit, calls(mmdit.config.joint_attention_dim)


def packed(folder: Path, file: Path) -> tuple[MMDiT, list[tuple]]:
    """The folder's transformer streamed from a file of another format, and both branches."""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, file, torch.bfloat16, streamed=True)
    return mmdit, calls(mmdit.config.joint_attention_dim)


def reference_stack(folder: Path):
    """diffusers' transformer for this folder, without weights."""
    from ..reference import reference_mmdit

    # careful: accelerate casts weights to the type of the parameter that they replace
    return reference_mmdit(empty_network(folder, "transformer").config).bfloat16()


def tensors(where: dict):
    """Yields keys and tensors, which are mapped from the files and not read yet."""
    from safetensors import safe_open

    for file in sorted({place.file for place in where.values()}):
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():
                yield key, opened.get_tensor(key)


def two_passes(theirs) -> list[Callable]:
    """A guided step as both peers compute it, in one pass for each branch."""
    from ..reference import run

    branches, outputs = calls(theirs.config.joint_attention_dim), []

    def run_branch(branch: tuple) -> None:
        outputs.append(run(theirs, dict(zip(("img", "txt", "sigma", "grids"), branch))))

    def last():
        run_branch(branches[1])
        return guided_step(branches, outputs)

    return [lambda: run_branch(branches[0]), last]


def forget(folders: list[Path]) -> None:
    """Drop files from the system's cache, so that the next read is from the disk."""
    files = [file for folder in folders for file in folder.rglob("*.safetensors")]
    for file in files + [file for file in folders if file.is_file()]:
        opened = os.open(file, os.O_RDONLY)
        os.fsync(opened)  # pages not written yet would stay in the cache
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened)


# -- measuring ------------------------------------------------------------------------------------


def memory() -> dict[str, float]:
    """GB of this process: its peak so far, and its anonymous and mapped memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(
        line.split(":") for line in lines if line.startswith(("VmHWM", "RssAnon", "RssF"))
    )
    gigabytes = {name: int(value.split()[0]) * 1024 / 1e9 for name, value in fields.items()}
    return {
        "peak": gigabytes["VmHWM"],
        "own": gigabytes["RssAnon"],
        "mapped": gigabytes["RssFile"],
    }


def bytes_read() -> int:
    """Bytes that the system has fetched from the disk for this process."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def measure(timed: list[Callable], folders: list[Path]) -> dict:
    """Time, bytes read and memory of all calls, each from a cold disk; the sha256 of the result."""
    readings, stopped = [memory()], threading.Event()

    def watch():
        while not stopped.wait(INTERVAL):
            readings.append(memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, before = 0.0, bytes_read()
    try:
        for call in timed:
            forget(folders)
            start = time.perf_counter()
            answer = call()
            seconds += time.perf_counter() - start
    finally:
        stopped.set()
    result = {
        "seconds": round(seconds, 3),
        "read_gb": round((bytes_read() - before) / 1e9, 3),
        "peak_gb": round(memory()["peak"], 3),
        "own_gb": round(max(each["own"] for each in readings), 3),
        "mapped_gb": round(max(each["mapped"] for each in readings), 3),
    }
    if isinstance(answer, torch.Tensor):
        bits = answer.contiguous().view(torch.int16).numpy().tobytes()
        result["sha256"] = hashlib.sha256(bits).hexdigest()
    return result


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("copy", type=Path)
    arguments = parser.parse_args()
    folders = [arguments.folder, arguments.copy]
    print(json.dumps(measure(TASKS[arguments.task](*folders), folders)), flush=True)


if __name__ == "__main__":
    main()
