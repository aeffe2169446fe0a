"""An MMDiT of which each process holds a share: divided, filled from files, and written again.

Its blocks are divided one by one (FSDP2): a block's weights are gathered for its forward pass,
forgotten, and gathered again for its backward pass, so that no process ever holds the whole
network. Of a small network they may be kept in between.
"""

import math
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from ...checkpoint.fill import Weights, is_finite
from ...checkpoint.headers import DTYPES, Place, read_into
from ...checkpoint.save import save
from ...checkpoint.shards import SHARD_BYTES, cut
from ...checkpoint.stored_form import other_forms, other_keys, stored_form
from ...files import CheckpointError
from ...mmdit import MMDiT
from .processes import Processes


def divide(mmdit: MMDiT, processes: Processes, compute: torch.dtype, keep: bool = False) -> None:
    """Divide every weight of a network, on the meta device or not, along its first axis.

    compute: type of the weights that are gathered and of the activations. What a process keeps has
    the type that it had, and gradients are added up in float32. keep: gathered weights stay until
    the backward pass, which saves gathering them again and takes memory for all of them.
    """
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    # nobody writes into what the network returns, which is all that this warning is about
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    for block in nn.ModuleList.__iter__(mmdit.transformer_blocks):
        fully_shard(block, mesh=processes.mesh, mp_policy=policy, reshard_after_forward=not keep)
    # what is outside the blocks is needed at both ends of a pass, and stays gathered in any case
    fully_shard(mmdit, mesh=processes.mesh, mp_policy=policy, reshard_after_forward=False)


def demand_plain(weights: Weights, network: nn.Module) -> None:
    """Raises CheckpointError unless files hold every tensor of the network as plain numbers."""
    if type(weights) is not Weights:
        raise CheckpointError(
            f"{weights.source} must hold plain bfloat16, float16 or float32 numbers to be divided, "
            f"got {weights.layout}; give the official folder"
        )
    form = stored_form(network)
    for problem in [*other_keys(form, weights.places), *other_forms(form, weights.places)]:
        raise CheckpointError(f"{weights.source}: {problem}")


@torch.no_grad()
def fill_share(mmdit: MMDiT, weights: Weights, processes: Processes) -> None:
    """Read this process' rows of every tensor into a divided network, and no other byte.

    Raises CheckpointError for files that end too soon, or hold NaN.
    """
    for name, parameter in mmdit.named_parameters():
        share = parameter.to_local()
        rows = -(-parameter.shape[0] // processes.size)  # rows of each process but the last ones
        first = min(processes.rank * rows, parameter.shape[0])
        share.copy_(_read_rows(weights.places[name], first, len(share)))
        if not is_finite(share):
            raise weights.damaged(name)


def _read_rows(place: Place, first: int, count: int) -> torch.Tensor:
    """`count` rows of the tensor at a place, as it is stored"""
    row = (place.stop - place.start) // place.shape[0]
    numbers = torch.empty(count * row, dtype=torch.uint8)
    read_into(place.file, place.start + first * row, numbers)
    return numbers.view(DTYPES[place.dtype]).view(count, *place.shape[1:])


def export(mmdit: MMDiT, folder: Path, processes: Processes) -> None:
    """Write a divided network in the official layout; the leader holds one file of 5 GB at a time.

    Every process takes part: a tensor is gathered when the leader writes it. Raises CheckpointError
    in the leader where the folder cannot be written.
    """
    if processes.leads:
        save(mmdit, folder, read=_gathered)
        mmdit.config.to_json(folder / "config.json")
    else:
        for key in [key for keys in cut(mmdit, SHARD_BYTES, None) for key in keys]:
            _gathered(mmdit, key)
    processes.wait()


def _gathered(module: nn.Module, key: str, dtype=None) -> torch.Tensor:
    """One whole tensor of a divided module, in every process"""
    whole = module.get_parameter(key).detach().full_tensor().cpu()
    return whole.to(dtype or whole.dtype)


def share_of(mmdit: nn.Module) -> float:
    """The share of the weights' numbers that this process holds, from 0 to 1"""
    own = sum(parameter.to_local().numel() for parameter in mmdit.parameters())
    return own / sum(math.prod(parameter.shape) for parameter in mmdit.parameters())
