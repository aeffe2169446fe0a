"""The processes of one run: how they meet, what they agree on, and how they end together."""

import contextlib
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

# what torchrun, or a launcher that speaks its language, says in the environment
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
MEETING = timedelta(minutes=10)  # for all processes to start, and for any one step


@dataclass(frozen=True)
class Processes:
    """One process as a part of all. The first one leads: it writes the log and the files."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh  # one axis, along which weights are divided

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def leaders(self, flag: bool) -> bool:
        """The leader's value, in every process; clocks differ."""
        value = torch.tensor(int(flag))
        dist.broadcast(value, src=0)
        return bool(value)

    def mean(self, number: float) -> float:
        """The mean of one number of each process"""
        total = torch.tensor(number, dtype=torch.float64)
        dist.all_reduce(total)
        return total.item() / self.size

    def all(self, flag: bool) -> bool:
        """Whether it is so in every process"""
        return self.mean(float(flag)) == 1.0

    def average(self, tensors: list[torch.Tensor]) -> None:
        """Put the mean over the processes in the place of each tensor; one message for all."""
        together = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(together)
        parts = (together / self.size).split([tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts):
            tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """Return when every process has come here."""
        dist.barrier()

    @contextlib.contextmanager
    def together(self):
        """Context that all processes leave alike: where one fails, all end.

        The first that failed raises its error, the others SystemExit, so that one line is printed.
        Inside, processes must not communicate: a failed one would let the others wait.
        """
        problem = None
        try:
            yield
        except (ValueError, OSError, MemoryError, RuntimeError) as error:
            problem = error
        failed = [None] * self.size
        dist.all_gather_object(failed, problem is not None)
        if any(failed):
            raise problem if failed.index(True) == self.rank else SystemExit(2)


@contextlib.contextmanager
def started():
    """Context of a process that has met all others; yields its Processes.

    The environment says who they are, as torchrun sets it; without those variables there is one
    process alone. GPUs are used where there are any, one a process. Raises ValueError for variables
    that cannot be, RuntimeError if the others do not come.
    """
    rank, size, local = _read_environment()
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore()}
    dist.init_process_group(backend, rank=rank, world_size=size, timeout=MEETING, **alone)
    try:
        yield Processes(rank, size, device, init_device_mesh(device.type, (size,)))
    finally:
        dist.destroy_process_group()


def _read_environment() -> tuple[int, int, int]:
    """-> rank, number of processes, rank on this machine"""
    values = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    if "RANK" not in values:
        return 0, 1, 0
    try:
        rank, size, local = (int(values[name]) for name in VARIABLES[:3])
        if not (0 <= rank < size and 0 <= local and len(values) == len(VARIABLES)):
            raise ValueError
    except (KeyError, ValueError):
        shown = ", ".join(f"{name}={values.get(name, '')}" for name in VARIABLES)
        raise ValueError(
            f"the environment must be as torchrun sets it, got {shown}; start with torchrun"
        ) from None
    return rank, size, local
