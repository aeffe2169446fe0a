"""Measurements that need a process of their own: the peak memory of a call, the cost of an import.

This file is the program that `measure_call` and `measure_import` start; it prints a line of JSON.
`fresh_process` starts other such programs, for example lora_tasks.py. Memory is read from /proc,
which only Linux has.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ...repository import ROOT

ACCOUNT = Path("/proc/self")
IMPORTS = {
    "ours": "from qwenimage_ref import QwenImage",
    "reference": "from diffusers import QwenImagePipeline",
}


def measure_import(who: str) -> dict:
    """ "ours" or "reference" -> {"seconds": processor time, "bytes": resident memory afterwards}"""
    return fresh_process(__name__, "import", who)


def measure_call(who: str, direction: str, sides, dtype: str, base_dim: int) -> dict:
    """The VAE's memory when it encodes or decodes: {"weights": bytes, "peaks": [bytes a side]}

    who: "ours", "tiled" (ours in tiles) or "reference".
    A peak is the rise of the process's anonymous memory (what it allocates, neither code nor mapped
    files) during the call, with weights and kernels already loaded. malloc is configured to return
    every large block as soon as it is freed, so that its caches are not counted.
    """
    sides = ",".join(map(str, sides))
    return fresh_process(__name__, "call", who, direction, sides, dtype, str(base_dim))


def can_measure_memory() -> bool:
    """Whether this system has the files in /proc that are read here."""
    return os.access(ACCOUNT / "clear_refs", os.W_OK)


def anonymous_bytes() -> int:
    """The anonymous memory of this process."""
    return _account("RssAnon")


def peak_bytes(call) -> int:
    """The peak of the anonymous memory while `call` runs.

    Files that the call maps and unmaps again are included.
    """
    (ACCOUNT / "clear_refs").write_text("5")  # resets the high-water mark
    call()
    mapped = _account("RssFile") + _account("RssShmem")
    return _account("VmHWM") - mapped


def peak_rise(call) -> int:
    """The peak of the anonymous memory while `call` runs, above its level before the call."""
    before = anonymous_bytes()
    return peak_bytes(call) - before


def fresh_process(module: str, *arguments: str) -> dict:
    """Run a module of this package as a program, on one thread -> the line of JSON it prints

    Raises RuntimeError with the last line of its stderr if it fails.
    """
    return _line_of([], module, *arguments)


def fresh_processes(count: int, module: str, *arguments: str) -> dict:
    """The same in `count` processes that torchrun starts, of which the leader alone prints"""
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", str(count), "-m")
    return _line_of(torchrun, module, *arguments)


def _line_of(launcher: Iterable[str], module: str, *arguments: str) -> dict:
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 17),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", *launcher, module, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        last = (result.stderr.strip() or f"status {result.returncode}").splitlines()[-1]
        raise RuntimeError(f"measuring {' '.join(arguments)} in a fresh process failed: {last}")
    return json.loads(result.stdout)


# -- in the fresh process -------------------------------------------------------------------------


def _import(who: str) -> dict:
    start = time.process_time()
    exec(IMPORTS[who])
    seconds = time.process_time() - start
    return {"seconds": seconds, "bytes": _account("VmRSS") if can_measure_memory() else None}


def _call(who: str, direction: str, sides: str, dtype: str, base_dim: str) -> dict:
    import torch

    from ...config import VAEConfig

    config, dtype = VAEConfig(base_dim=int(base_dim)), getattr(torch, dtype)
    network, call = {"ours": _ours, "tiled": _tiled, "reference": _reference}[who](
        config, direction
    )
    network.to_empty(device="cpu").to(dtype)
    peaks = []
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)  # any value; untouched memory would not be resident
        for side in [16, *map(int, sides.split(","))]:  # the first call loads the kernels
            shape = (
                (3, side, side) if direction == "encode" else (config.z_dim, side // 8, side // 8)
            )
            x = torch.ones(1, *shape, dtype=dtype)
            peaks.append(peak_rise(partial(call, x)))
    return {"weights": sum(p.nbytes for p in network.parameters()), "peaks": peaks[1:]}


def _ours(config, direction: str):
    import torch

    from ...vae import VAE

    with torch.device("meta"):
        network = VAE(config)
    return network, getattr(network, direction)


def _tiled(config, direction: str):
    from ...adapt.tiling import TiledVAE

    network = TiledVAE(_ours(config, direction)[0])
    return network, getattr(network, direction)


def _reference(config, direction: str):
    from ..reference import reference_vae, run

    network = reference_vae(config)
    return network, lambda x: run(network, {"img" if direction == "encode" else "z": x})


def _account(name: str) -> int:
    """The bytes in the line `name` of /proc/self/status."""
    lines = (ACCOUNT / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    tasks = {"import": _import, "call": _call}
    print(json.dumps(tasks[sys.argv[1]](*sys.argv[2:])))
