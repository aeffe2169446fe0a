"""The smallest network in which a key, a shape or a shard can be missing; shared by two tests."""

import torch
from torch import nn

from qwenimage_ref.parity.reference import random_weights


class Net(nn.Module):
    """Four tensors of 60, 20, 40 and 8 bytes in float32."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.second = nn.Linear(5, 2)


def on_meta(kind, *args) -> nn.Module:
    with torch.device("meta"):
        return kind(*args)


def network(kind=Net, *args, seed=0) -> nn.Module:
    return random_weights(on_meta(kind, *args), seed)


def tensors_of(module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def assert_equal(ours: dict, theirs: dict):
    assert ours.keys() == theirs.keys()
    differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert differing == []
