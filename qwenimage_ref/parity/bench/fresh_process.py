"""What needs a fresh process to be measured: the peak memory of a call, the cost of an import.

This file is the program that `measure_call` and `measure_import` start; it prints a line of JSON.
Others (lora_tasks.py) are started in the same way, by `fresh_process`.
Memory is the system's own account, which Linux keeps in /proc.
"""

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from ...repository import ROOT

ACCOUNT = Path("/proc/self")
IMPORTS = {
    "ours": "from qwenimage_ref import QwenImage",
    "reference": "from diffusers import QwenImagePipeline",
}


def measure_import(who: str) -> dict:
    """ "ours" or "reference" -> {"seconds": of the processor, "bytes": resident afterwards}"""
    return fresh_process(__name__, "import", who)


def measure_call(who: str, direction: str, sides, dtype: str, base_dim: int) -> dict:
    """-> {"weights": bytes, "peaks": [bytes for each side]}, of the VAE called to encode or decode

    A peak is how far the process's anonymous memory (what it allocates: neither code nor mapped
    files) rises during the call above where it stood before, the weights loaded and the code of
    the kernels, too. malloc is told to give every large piece back as soon as it is freed, so that
    the figure is what the call needs, not what malloc keeps of it or had kept before.
    """
    sides = ",".join(map(str, sides))
    return fresh_process(__name__, "call", who, direction, sides, dtype, str(base_dim))


def can_measure_memory() -> bool:
    """Whether this system keeps the account that is read here."""
    return os.access(ACCOUNT / "clear_refs", os.W_OK)


def own() -> int:
    """Bytes of this process's anonymous memory."""
    return _account("RssAnon")


def most(call) -> int:
    """The most of them while `call` runs; what it maps from files and unmaps again counts, too."""
    (ACCOUNT / "clear_refs").write_text("5")  # the high-water mark starts from here
    call()
    mapped = _account("RssFile") + _account("RssShmem")
    return _account("VmHWM") - mapped


def rise(call) -> int:
    """Bytes by which the anonymous memory of this process rises while `call` runs, at most."""
    before = own()
    return most(call) - before


def fresh_process(module: str, *arguments: str) -> dict:
    """The line of JSON that a module of this package prints as a program, on one thread."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": str(1 << 17),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
        raise RuntimeError(f"measuring {' '.join(arguments)} in a fresh process failed: {last}")
    return json.loads(done.stdout)


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
    network, call = {"ours": _ours, "reference": _reference}[who](config, direction)
    network.to_empty(device="cpu").to(dtype)
    peaks = []
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)  # memory does not depend on the values, but must be touched
        for side in [16, *map(int, sides.split(","))]:  # the smallest one loads the kernels
            shape = (
                (3, side, side) if direction == "encode" else (config.z_dim, side // 8, side // 8)
            )
            given = torch.ones(1, *shape, dtype=dtype)
            peaks.append(rise(partial(call, given)))
    return {"weights": sum(p.nbytes for p in network.parameters()), "peaks": peaks[1:]}


def _ours(config, direction: str):
    import torch

    from ...vae import VAE

    with torch.device("meta"):
        network = VAE(config)
    return network, getattr(network, direction)


def _reference(config, direction: str):
    from ..reference import reference_vae, run

    network = reference_vae(config)
    return network, lambda x: run(network, {"img" if direction == "encode" else "z": x})


def _account(name: str) -> int:
    """Bytes, of the line `name` in the account of this process."""
    lines = (ACCOUNT / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


if __name__ == "__main__":
    tasks = {"import": _import, "call": _call}
    print(json.dumps(tasks[sys.argv[1]](*sys.argv[2:])))
