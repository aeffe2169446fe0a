"""The bytes of all tensors that are alive together, at the worst moment of a block."""

import weakref
from collections.abc import Iterator

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LiveMemory(TorchDispatchMode):
    """`with LiveMemory() as live:`, then `live.peak`: bytes of tensors made inside the block."""

    def __init__(self):
        super().__init__()
        self.peak, self._now, self._alive = 0, 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        before = {id for id, _ in _storages((args, kwargs))}
        for id, storage in self.storages(result):
            if id not in before and id not in self._alive:
                self._alive.add(id)
                self._now += storage.nbytes()
                weakref.finalize(storage, self._freed, id, storage.nbytes())
        self.peak = max(self.peak, self._now)
        return result

    def storages(self, result) -> list:
        """Those of a result that count, [(id, storage), ...]"""
        return _storages(result)

    def _freed(self, id: int, size: int) -> None:
        self._alive.discard(id)
        self._now -= size


def _storages(tree) -> list:
    storages = [tensor.untyped_storage() for tensor in _tensors(tree)]
    return [(storage._cdata, storage) for storage in storages]


def _tensors(tree) -> Iterator[torch.Tensor]:
    """Those inside of tuples, lists and dictionaries; torch's own walk takes far longer"""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, (tuple, list, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _tensors(part)
