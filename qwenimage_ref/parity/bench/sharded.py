"""Training over processes: what a block costs at official width, and what a second process brings.

python -m qwenimage_ref.parity.bench.sharded block [DEVICE]   seconds and operations of one block
python -m qwenimage_ref.parity.bench.sharded pair             pictures a second of two processes
python -m qwenimage_ref.parity.bench.sharded ranks            memory and difference of 1, 2 and 4

`block` takes 3 GB. `pair` needs two cores that do nothing else; `qwenimage bench` has it as a row.
`ranks` needs one core, which may be busy. Each prints a line of JSON; --record puts it, with where
it was measured, under its name into data/measurements/sharded.json and leaves the others there.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from ...config import MMDiTConfig
from ...files import whole_file
from ...mmdit import MMDiT
from ...provenance import provenance
from ...repository import MEASUREMENTS, POCKET, ROOT, in_a_clone
from ...train.dataset import Encoded
from ...train.lora import Flow
from ...train.recipe import Recipe
from ...train.recompute import recompute
from ...train.sharded.plan import block_operations
from ..reference import random_weights
from .ranks import ranks

FILE = MEASUREMENTS / "sharded.json"
SIDE, SMALL_SIDE, TEXT_TOKENS = 32, 16, 64  # 1,024 and 256 image tokens
BATCH, STEPS, FIRST = 64, 8, 2  # pictures a step, as in training; steps; those that warm up
POCKET_LATENTS = (16, 16, 16)  # 128x128 pixels
RATE = 1e-6
AGAIN, KEPT = "gathered again", "kept"  # weights between the forward and the backward pass


def wide_network(blocks: int, device="cpu") -> MMDiT:
    """Random weights of official width in bf16, whose blocks are recomputed"""
    config = replace(MMDiTConfig.official(), num_layers=blocks)
    with torch.device("meta"):
        network = MMDiT(config)
    network = random_weights(network.bfloat16(), 0).to(device)
    recompute(network)
    return network


def backward(network: MMDiT, side: int) -> None:
    """One forward and backward pass of one picture"""
    like = network.proj_out.weight
    img, txt = (
        torch.randn(1, tokens, width).to(like)
        for tokens, width in ((side**2, 64), (TEXT_TOKENS, network.config.joint_attention_dim))
    )
    sigma = torch.tensor([0.5], device=like.device)
    network(img, txt, sigma, [(1, side, side)]).float().pow(2).mean().backward()


def block(device: str = "cpu") -> dict:
    """Seconds and operations a second of one more block, forward twice and backward once

    "two blocks" are the seconds of a whole pass with so many tokens, by the side of the picture.
    """
    two, one = passes(2, (SIDE, SMALL_SIDE), device), passes(1, (SIDE,), device)
    width = MMDiTConfig.official().inner_dim
    more = two[SIDE] - one[SIDE]
    return {
        "seconds": round(more, 4),
        "tflops": round(4 * block_operations(width, SIDE**2, TEXT_TOKENS) / more / 1e12, 4),
        "two blocks": {str(side): round(seconds, 4) for side, seconds in two.items()},
    }


def passes(blocks: int, sides: tuple[int, ...], device: str) -> dict[int, float]:
    """{side of a picture: seconds of the faster of two passes, after one that warms up}"""
    network, seconds = wide_network(blocks, device), {}
    for side in sides:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            backward(network, side)
            if device != "cpu":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        seconds[side] = min(times[1:])
    return seconds


def pictures_a_second(processes: int, weights: str = AGAIN, steps: int = STEPS) -> float:
    """Of full training of the pocket model computed in bf16, as by default; a thread a process

    weights: AGAIN or KEPT, whether they are gathered for the backward pass again.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
        str(processes), "-m", __spec__.name, "train", str(steps), weights,
    ]  # fmt: skip
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        last = (finished.stderr.strip() or f"status {finished.returncode}").splitlines()[-1]
        raise RuntimeError(f"training over {processes} processes failed: {last}")
    return json.loads(finished.stdout)["pictures_a_second"]


def train(steps: str, weights: str) -> dict | None:
    """In each of the processes: train the pocket model on random latents -> the leader's rate"""
    from ...checkpoint.fill import open_official
    from ...checkpoint.model_folder import empty_network
    from ...train.sharded.checkpoints import StepsFolder
    from ...train.sharded.network import divide, fill_share
    from ...train.sharded.processes import started
    from ...train.sharded.run import train_whole

    ends = []
    with started() as processes, tempfile.TemporaryDirectory() as folder:
        network = empty_network(POCKET, "transformer").float()
        divide(network, processes, torch.bfloat16, keep=weights == KEPT)
        network.to_empty(device="cpu")
        fill_share(network, open_official(POCKET / "transformer"), processes)
        rng = torch.Generator().manual_seed(0)
        width = network.config.joint_attention_dim
        examples = [
            Encoded(torch.randn(POCKET_LATENTS, generator=rng), torch.randn(24, width))
            for _ in range(BATCH)
        ]
        count = FIRST + int(steps)
        train_whole(
            network, examples, examples[0].txt, Recipe(count, BATCH, RATE), Flow(),
            StepsFolder(Path(folder), processes), quiet=True, save_seconds=1e9,
            measure=lambda: ends.append(time.monotonic()) or {}, measure_every=FIRST,
        )  # fmt: skip
        rate = BATCH * int(steps) / (ends[-1] - ends[0])
        return {"pictures_a_second": round(rate, 3)} if processes.leads else None


def pair() -> dict:
    one, two, kept = (pictures_a_second(*how) for how in ((1,), (2,), (2, KEPT)))
    rates = {"one": one, "two": two, "two, weights kept": kept}
    more = ("two", "two, weights kept")
    return rates | {f"{name}, over one": round(rates[name] / one, 3) for name in more}


COMMANDS = {"block": block, "pair": pair, "ranks": ranks, "train": train}


@in_a_clone
def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--record"]
    if not words or words[0] not in COMMANDS:
        raise SystemExit(__doc__)
    torch.set_num_threads(1)
    result = COMMANDS[words[0]](*words[1:])
    if result is None:
        return
    print(json.dumps(result))
    if "--record" in sys.argv:
        stored = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
        stored[words[0]] = result | provenance()
        with whole_file(FILE) as partial:
            partial.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
