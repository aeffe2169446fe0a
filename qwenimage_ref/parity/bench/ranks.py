"""Training over 1, 2 and 4 processes: memory of each, time of a step, difference from no sharding.

`python -m qwenimage_ref.parity.bench.sharded ranks` starts this file as the program of every
process. All of them may run on one busy core: the memory and the weights do not depend on it, and
the processor seconds little; the seconds on the clock then say how busy the core was.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file

from ...checkpoint import load_into
from ...checkpoint.fill import open_official
from ...checkpoint.model_folder import empty_network
from ...repository import POCKET
from ...train import full
from ...train.dataset import Encoded
from ...train.lora import Flow
from ...train.recipe import Recipe
from ...train.sharded.checkpoints import StepsFolder
from ...train.sharded.network import divide, export, fill_share
from ...train.sharded.processes import Processes, started
from ...train.sharded.run import train_whole
from .fresh_process import can_measure_memory, fresh_processes, peak_rise

COUNTS = (1, 2, 4)
LATENTS = (16, 16, 16)  # 128x128 pixels
RECIPE = Recipe(steps=10, batch=4, lr=1e-3, warmup=0, decay_from=1.0, ema=0.9)
FIRST = 2  # steps that warm up
OUT = "out"
HEADING = (
    "| processes | weights in each | peak of each | processor seconds a step | difference |",
    "|---|---|---|---|---|",
)


def examples(width: int) -> list[Encoded]:
    """Six examples of noise, so that a batch of four runs over the end of an epoch"""
    rng = torch.Generator().manual_seed(0)
    return [
        Encoded(torch.randn(LATENTS, generator=rng), torch.randn(24, width, generator=rng))
        for _ in range(6)
    ]


def weights_of_one(folder: Path) -> dict[str, torch.Tensor]:
    """{name: weight} after the same training in this process, without any sharing"""
    network = empty_network(POCKET, "transformer")
    load_into(network, POCKET / "transformer", torch.float32)
    noise = examples(network.config.joint_attention_dim)
    full.train(network, noise, noise[0].txt, RECIPE, Flow(), folder, quiet=True)
    return {name: weight.detach() for name, weight in network.named_parameters()}


def differences(ours: dict, theirs: dict) -> tuple[float, float]:
    """Two networks' {name: weight}, of the same names -> largest difference, root mean square"""
    if ours.keys() != theirs.keys():
        raise ValueError("both must have the same names of weights; give two of one network")
    apart = torch.cat([(ours[name].float() - theirs[name].float()).flatten() for name in ours])
    return apart.abs().max().item(), apart.square().mean().sqrt().item()


def ranks(counts: tuple[int, ...] = COUNTS) -> dict:
    """-> {"steps", "batch", "rate", "cores", "load", "weights", "moved", "processes", ...}

    cores, load: how many cores the processes may use, and the mean number of programs that wanted
    to run in the last minute, on all cores. weights: bytes of the whole network's. moved: by how
    much the training changes weights, as `differences`. processes: {number: row of `measured`}.
    """
    with tempfile.TemporaryDirectory() as folder:
        alone = weights_of_one(Path(folder) / "alone")
        before = load_file(POCKET / "transformer" / "diffusion_pytorch_model.safetensors")
        rows = {count: measured(count, Path(folder) / str(count), alone) for count in counts}
    return {
        "network": "pocket transformer, float32",
        **{"steps": RECIPE.steps, "batch": RECIPE.batch, "rate": RECIPE.lr},
        **{"cores": len(os.sched_getaffinity(0)), "load": round(os.getloadavg()[0], 1)},
        "weights": sum(weight.nbytes for weight in alone.values()),
        "moved": rounded(differences(alone, before)),
        "processes": rows,
    }


def measured(count: int, folder: Path, alone: dict[str, torch.Tensor]) -> dict:
    """-> {"bytes": [of weights, a process], "peak": bytes, "seconds", "processor", "difference"}

    peak: the largest rise of a process's memory from before it has the network to the end of its
    last checkpoint; None where memory cannot be measured. seconds, processor: of a step, on the
    clock and of all processors together. difference: from the weights of `alone`.
    """
    folder.mkdir()
    row = fresh_processes(count, __name__, str(folder))
    written = load_file(folder / OUT / "diffusion_pytorch_model.safetensors")
    return row | {"difference": rounded(differences(written, alone))}


def rounded(both: tuple[float, float]) -> dict[str, float]:
    """The result of `differences`, to three digits"""
    return {name: float(f"{number:.3g}") for name, number in zip(("largest", "rms"), both)}


def table(record: dict) -> list[str]:
    """The result of `ranks` as lines of README's table"""
    lines = list(HEADING)
    for count, row in record["processes"].items():
        sizes = (f"{size / 1e6:.4g} MB" for size in (max(row["bytes"]), row["peak"]))
        seconds, apart = f"{row['processor']:.2g}", f"{row['difference']['largest']:.1e}"
        lines.append(f"| {count} | {' | '.join(sizes)} | {seconds} | {apart} |")
    return lines


# -- in each of the processes ---------------------------------------------------------------------


def main() -> None:
    torch.set_num_threads(1)
    with started() as processes:
        row = share(processes, Path(sys.argv[1]))
        if processes.leads:
            print(json.dumps(row))


def share(processes: Processes, folder: Path) -> dict:
    """Train, and write the whole network to folder/out -> the row of all processes"""
    network, ends = empty_network(POCKET, "transformer").float(), []

    def train() -> None:
        divide(network, processes, torch.float32)
        network.to_empty(device="cpu")
        fill_share(network, open_official(POCKET / "transformer"), processes)
        noise = examples(network.config.joint_attention_dim)
        train_whole(
            network, noise, noise[0].txt, RECIPE, Flow(), StepsFolder(folder, processes),
            quiet=True, measure=lambda: ends.append(clocks()) or {}, measure_every=FIRST,
        )  # fmt: skip

    peak = peak_rise(train) if can_measure_memory() else train()
    own = sum(parameter.to_local().nbytes for parameter in network.parameters())
    clock, processor = ((ends[-1] - ends[0]) / (RECIPE.steps - FIRST)).tolist()
    each = [None] * processes.size
    dist.all_gather_object(each, (own, peak, processor))
    export(network, folder / OUT, processes)
    weights, peaks, seconds = zip(*each)
    return {
        "bytes": list(weights),
        "peak": None if None in peaks else max(peaks),
        "seconds": round(clock, 3),
        "processor": round(sum(seconds), 3),
    }


def clocks() -> torch.Tensor:
    """Seconds on the clock, and of the processor for this process"""
    return torch.tensor([time.monotonic(), time.process_time()], dtype=torch.float64)


if __name__ == "__main__":
    main()
