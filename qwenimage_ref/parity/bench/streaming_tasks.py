"""What one process measures of streaming, so that its memory is its own; run by stream_bench.

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

# careful: diffusers and accelerate are imported only inside the tasks that measure them, so that
# they are not in the memory of the others

GRID = (1, 16, 16)  # 256x256 pixels
TEXT_TOKENS = 20, 6  # of a short prompt and of the negative prompt " "
SIGMAS = torch.tensor(0.75), torch.tensor(0.5)
PROMPT = "a red circle left of a blue star on a white background"
STEPS = 4
OFTEN = 0.02  # seconds between two looks at the memory


# -- the tasks: each gets the folder ready and returns what is timed, each call from the cold disk -


def read_task(folder: Path, copy: Path) -> list[Callable]:
    """Every byte of the blocks, in the order and the pieces in which a stream reads."""
    mmdit, _ = streamed(folder)
    blocks = mmdit.transformer_blocks

    def read():
        with ThreadPoolExecutor(READERS) as readers:
            for i in range(len(blocks)):
                for part in blocks.read_ahead(readers, i):
                    part.result()

    return [read]


def compute_task(folder: Path, copy: Path) -> list[Callable]:
    """One block that lies in memory, called as often as there are blocks."""
    mmdit, branches = streamed(folder)
    img, txt, shared = mmdit.embed(*branches[0])
    blocks = mmdit.transformer_blocks
    block = blocks.blocks[0]
    block.load_state_dict(blocks.read(0), assign=True)

    def compute():
        streams = img, txt
        for _ in blocks.places:
            streams = block(*streams, *shared)

    compute()  # the first call also gets its memory
    return [compute]


def pass_task(folder: Path, copy: Path) -> list[Callable]:
    mmdit, branches = streamed(folder)
    return [lambda: mmdit(*branches[0])]


def packed_task(folder: Path, copy: Path) -> list[Callable]:
    """The same of an fp8 or GGUF file, named as the copy."""
    mmdit, branches = packed(folder, copy)
    return [lambda: mmdit(*branches[0])]


def step_task(folder: Path, copy: Path) -> list[Callable]:
    mmdit, branches = streamed(folder)
    return [lambda: guided_step(branches, mmdit.many(branches))]


def accelerate_task(folder: Path, copy: Path) -> list[Callable]:
    """accelerate's disk offload, each block from the same files when its turn comes."""
    from accelerate import dispatch_model

    theirs = twin(folder)
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
    """diffusers' group offload, from the copy that it makes of the blocks."""
    from diffusers.hooks import apply_group_offloading

    theirs = twin(folder)
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
    """A whole picture on the schedule of the Lightning models: four steps, shift 3, no guidance."""
    pipe = QwenImage.from_pretrained(folder, stream=True)
    shift = math.log(3)
    pipe.scheduler = replace(pipe.scheduler, base_shift=shift, max_shift=shift, shift_terminal=0.0)
    assert sigmas(STEPS, 256, pipe.scheduler).allclose(torch.tensor([1, 0.9, 0.75, 0.5, 0]))

    def paint():
        began = time.perf_counter()

        def say(step, *_):
            print(f"  step {step + 1} at {time.perf_counter() - began:.0f} s", flush=True)

        size = {"height": 256, "width": 256}
        pipe(PROMPT, None, 1.0, **size, num_inference_steps=STEPS, seed=0, callback=say)

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


# -- what tasks share -----------------------------------------------------------------------------


def calls(width: int) -> list[tuple]:
    """Both branches of a guided step, as an MMDiT is called; width: of its text states."""
    generator = torch.Generator().manual_seed(0)
    img = torch.randn(1, math.prod(GRID), 64, generator=generator).bfloat16()
    texts = [torch.randn(1, tokens, width, generator=generator) for tokens in TEXT_TOKENS]
    return [(img, txt.bfloat16(), SIGMAS[0].unsqueeze(0), [GRID]) for txt in texts]


def guided_step(branches: list[tuple], answers: list[torch.Tensor]) -> torch.Tensor:
    return euler_step(branches[0][0], guide(*answers, 4.0), *SIGMAS)


def streamed(folder: Path) -> tuple[MMDiT, list[tuple]]:
    """Our transformer, its blocks on disk, and both branches to call it with."""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, folder / "transformer", torch.bfloat16, streamed=True)
    return mmdit, calls(mmdit.config.joint_attention_dim)


def packed(folder: Path, file: Path) -> tuple[MMDiT, list[tuple]]:
    """The folder's transformer, its weights streamed from a file of another format."""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, file, torch.bfloat16, streamed=True)
    return mmdit, calls(mmdit.config.joint_attention_dim)


def twin(folder: Path):
    """diffusers' transformer for this folder, without weights."""
    from ..reference import reference_mmdit

    # careful: accelerate gives weights the type of the parameter that waits for them
    return reference_mmdit(empty_network(folder, "transformer").config).bfloat16()


def tensors(where: dict):
    """Yields key and tensor, mapped from the file and not read yet."""
    from safetensors import safe_open

    for file in sorted({place.file for place in where.values()}):
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():
                yield key, opened.get_tensor(key)


def two_passes(theirs) -> list[Callable]:
    """A guided step as others take it: a pass for each branch."""
    from ..reference import run

    branches, answers = calls(theirs.config.joint_attention_dim), []

    def take(branch: tuple) -> None:
        answers.append(run(theirs, dict(zip(("img", "txt", "sigma", "grids"), branch))))

    def last():
        take(branches[1])
        return guided_step(branches, answers)

    return [lambda: take(branches[0]), last]


def forget(folders: list[Path]) -> None:
    """Drop the system's copies of files in memory, so that the next read is from the disk."""
    files = [file for folder in folders for file in folder.rglob("*.safetensors")]
    for file in files + [file for file in folders if file.is_file()]:
        opened = os.open(file, os.O_RDONLY)
        os.fsync(opened)  # what is not written yet would stay
        os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(opened)


# -- measuring ------------------------------------------------------------------------------------


def memory() -> dict[str, float]:
    """GB of this process: the most it ever held, and what it holds now, its own and mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(
        line.split(":") for line in lines if line.startswith(("VmHWM", "RssAnon", "RssF"))
    )
    held = {name: int(value.split()[0]) * 1024 / 1e9 for name, value in fields.items()}
    return {"peak": held["VmHWM"], "own": held["RssAnon"], "mapped": held["RssFile"]}


def bytes_read() -> int:
    """Bytes that this process has had fetched from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def measure(timed: list[Callable], folders: list[Path]) -> dict:
    """Time and reading of all calls, each from the cold disk, and memory; the answer's sha256."""
    looks, done = [memory()], threading.Event()

    def watch():
        while not done.wait(OFTEN):
            looks.append(memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds, before = 0.0, bytes_read()
    try:
        for call in timed:
            forget(folders)
            began = time.perf_counter()
            answer = call()
            seconds += time.perf_counter() - began
    finally:
        done.set()
    result = {
        "seconds": round(seconds, 3),
        "read_gb": round((bytes_read() - before) / 1e9, 3),
        "peak_gb": round(memory()["peak"], 3),
        "own_gb": round(max(look["own"] for look in looks), 3),
        "mapped_gb": round(max(look["mapped"] for look in looks), 3),
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
