"""Networks larger than memory: their blocks stay on disk and come one at a time.

A block is read into memory for its turn, and its memory is released after use. Meanwhile the next
one is read ahead, into the system's own cache of files. Memory is that of one block, time that of
reading or of computing, whichever is longer. What the cache has room for is read from disk once and
kept for the next pass.

Guidance calls a network twice a step. `many` of MMDiT and TextEncoder takes several calls at once,
and a streamed network answers all of them in one pass: a guided step reads the weights once.

Several threads may call the same streamed network: each reads its own weights, and a lock lets one
at a time compute with a block.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ..captioner import Captioner
from ..checkpoint.fill import Weights, fill
from ..checkpoint.headers import DTYPES, Place, read_tensor
from ..checkpoint.packed_linear import PackedLinear
from ..controlnet import ControlNet
from ..files import CheckpointError, shorten
from ..limits import free_memory
from ..mmdit import MMDiT
from ..text_encoder import TextEncoder
from ..vision import Vision
from .control import BlockwiseControlNet

READ = 1 << 20  # bytes read ahead in one go
READERS = 2  # reading threads: a disk is fastest with several requests in its queue
CACHED = 0.7  # share of the free memory for blocks that stay in the system's cache
BLOCKS_OF = {  # lists of the blocks that stay on disk
    MMDiT: "transformer_blocks",
    ControlNet: "transformer_blocks",
    BlockwiseControlNet: "controlnet_blocks",
    TextEncoder: "model.layers",
    Vision: "blocks",
}
EMBEDDING = "model.embed_tokens.weight"  # a prompt needs only a few of its rows
LM_HEAD = "lm_head.weight"  # a head as large, used only where a caption is written
STRIP = 4096  # rows of it that are read at a time


def stream(
    network: MMDiT | TextEncoder | Vision | ControlNet | BlockwiseControlNet,
    weights: Weights,
    dtype: torch.dtype,
    device="cpu",
) -> None:
    """Fill a network on the meta device; its blocks stay on disk, and so do the embedding and
    lm_head of a text tower.

    The files must not change as long as the network is used. Raises CheckpointError.
    """
    name = next(name for kind, name in BLOCKS_OF.items() if isinstance(network, kind))
    left = (f"{name}.", EMBEDDING, LM_HEAD)
    scaled = [name for name in weights.places if name.startswith(left) and weights.scaled(name)]
    if scaled:
        raise CheckpointError(
            f"{weights.source}: {shorten(scaled)} is quantised and cannot stay on disk; load it "
            "without streaming"
        )
    for layer in weights.packed:
        weights.check_streamed(layer)
    fill(network, weights, dtype, device, left)
    packed = {
        f"{layer}.{p}": place for layer, t in weights.packed.items() for p, place in t.items()
    }
    files = _Files(weights.places | packed)
    path, _, last = name.rpartition(".")
    owner = network.get_submodule(path)
    setattr(owner, last, _Blocks(getattr(owner, last), f"{name}.", files, dtype, device))
    if isinstance(network, TextEncoder):
        network.model.embed_tokens = _Rows(files.places[EMBEDDING], files, dtype, device)
    if isinstance(network, Captioner):
        network.lm_head = _Strips(files.places[LM_HEAD], files, dtype, device)


def named_layers(network: nn.Module) -> dict[str, nn.Module]:
    """{official name: module}, those of streamed blocks too."""
    layers = {}
    for name, module in network.named_modules():
        layers[name] = module
        if isinstance(module, _Blocks):
            for i, block in enumerate(module.blocks):
                layers |= block.named_modules(prefix=f"{name}.{i}")
    return layers


def named_linears(network: nn.Module) -> dict[str, nn.Module]:
    """{official name: linear layer}, those of streamed blocks and quantised ones too."""
    layers = named_layers(network)
    return {name: layer for name, layer in layers.items() if hasattr(layer, "in_features")}


def _packed_names(block: nn.Module) -> set[str]:
    """The parameters of its packed layers, but for biases, which are plain numbers."""
    return {
        f"{path}.{name}"
        for path, layer in block.named_modules()
        if isinstance(layer, PackedLinear)
        for name, _ in layer.named_parameters(recurse=False)
        if name != "bias"
    }


class _Files:
    """Where the tensors of a network lie, in files that must not change as long as it is used."""

    def __init__(self, places: dict[str, Place]):
        self.places = places
        self.identities = {p.file: _identity(os.stat(p.file)) for p in places.values()}

    def read(self, place: Place, memory: torch.Tensor | None = None) -> torch.Tensor:
        """The tensor at a place. Raises CheckpointError where its file is not the one of before."""
        self.demand_unchanged(place.file)
        tensor = read_tensor(place, memory)
        self.demand_unchanged(place.file)  # a writer may have come between
        return tensor

    def demand_unchanged(self, file: Path) -> None:
        try:
            unchanged = _identity(os.stat(file)) == self.identities[file]
        except OSError:
            unchanged = False
        if not unchanged:
            raise CheckpointError(f"{file} changed while it was in use; load the model again")


def _identity(status: os.stat_result) -> tuple:
    return status.st_size, status.st_mtime_ns, status.st_ino


class _Blocks(nn.Module):
    """In place of the blocks of a network: a pass over it yields them in their order."""

    streamed = True

    def __init__(self, blocks: nn.ModuleList, prefix: str, files: _Files, dtype, device):
        super().__init__()
        # careful: a tuple, so that blocks without weights are no part of the network
        self.blocks = tuple(block.eval() for block in blocks)
        self.files, self.dtype, self.device = files, dtype, device
        self.places = [
            {name: files.places[f"{prefix}{i}.{name}"] for name, _ in block.named_parameters()}
            for i, block in enumerate(blocks)
        ]
        self.packed = [_packed_names(block) for block in blocks]
        # careful: functional_call sets the weights of the block itself, for all threads
        self.lock = threading.Lock()
        self.eval()

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, i: int):
        """Block i, to be called; its weights are read for each call."""
        return functools.partial(self.call, i)

    def __iter__(self):
        """Yields each block to be called; it can be called until the next one is asked for.

        In training mode a block is called once more in the backward pass, and its weights are read
        a second time: they are never kept.
        """
        if self.training:
            for i in range(len(self)):
                yield functools.partial(checkpoint, self.call, i, use_reentrant=False)
            return
        room = CACHED * free_memory(torch.device("cpu"))
        # careful: new memory takes as long to get as to fill, so blocks share theirs, one after the
        # other; not where a backward pass will need the weights again
        memory = None if torch.is_grad_enabled() else {}
        with ThreadPoolExecutor(READERS) as readers:
            ahead = self.read_ahead(readers, 0)
            for i, places in enumerate(self.places):
                for part in ahead:
                    part.result()
                weights = self.read(i, readers.map, memory)
                ahead = self.read_ahead(readers, i + 1)
                yield functools.partial(self._call, i, weights)
                weights.clear()  # a block kept by the caller would keep its memory alive
                room -= sum(place.stop - place.start for place in places.values())
                if room < 0:
                    forget(places.values())

    def read(self, i: int, map=map, memory: dict | None = None) -> dict[str, torch.Tensor]:
        """The weights of block i in memory, by name, as it computes with them

        memory: {name: bytes}, those of the block before; None: new memory.
        """
        places, before = self.places[i], memory or {}
        tensors = dict(
            zip(places, map(self.files.read, places.values(), [before.get(n) for n in places]))
        )
        if memory is not None:
            memory |= {name: t.view(-1).view(torch.uint8) for name, t in tensors.items()}
        return {
            name: tensor.to(self.device, None if name in self.packed[i] else self.dtype)
            for name, tensor in tensors.items()
        }

    def call(self, i: int, *inputs):
        """The answer of block i; its weights are read for this call alone."""
        return self._call(i, self.read(i), *inputs)

    def _call(self, i: int, weights: dict, *inputs):
        with self.lock:
            return functional_call(self.blocks[i], weights, inputs, strict=True)

    def read_ahead(self, readers: ThreadPoolExecutor, i: int) -> list[Future]:
        """Have the tensors of block i read, in the order of the bytes; behind the last, none."""
        places = self.places[i].values() if i < len(self) else ()
        in_order = sorted(places, key=lambda place: (place.file, place.start))
        return [readers.submit(read_through, place) for place in in_order]


def read_through(place: Place) -> None:
    """Read a tensor only so that the system has it in its cache."""
    left = place.stop - place.start
    buffer = memoryview(bytearray(min(READ, left)))
    # errors are reported by the read itself
    with contextlib.suppress(OSError), place.file.open("rb", buffering=0) as file:
        file.seek(place.start)
        while left and (read := file.readinto(buffer[:left])):
            left -= read


def forget(places: Iterable[Place]) -> None:
    """Tell the system that it need not keep these bytes in memory.

    Left to itself it would keep those that were read last. A pass begins with those that were read
    first: of weights larger than memory, each would be gone just before its turn.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for place in places:
        # a file that is gone has nothing in the cache; the next read reports it
        with contextlib.suppress(OSError), place.file.open("rb") as file:
            length = place.stop - place.start
            os.posix_fadvise(file.fileno(), place.start, length, os.POSIX_FADV_DONTNEED)


class _Matrix(nn.Module):
    """In place of a layer with one matrix, of which only rows are ever in memory"""

    streamed = True

    def __init__(self, place: Place, files: _Files, dtype, device):
        super().__init__()
        self.place, self.files = place, files
        self.dtype, self.device = dtype, device

    def part(self, row: int, count: int) -> Place:
        """Where `count` rows lie, from `row` on"""
        width = self.place.shape[1]
        size = width * DTYPES[self.place.dtype].itemsize
        start = self.place.start + size * row
        return replace(self.place, shape=(count, width), start=start, stop=start + size * count)


class _Strips(_Matrix):
    """In place of a linear layer without a bias: reads a strip of its rows at a time."""

    def forward(self, x):
        """The products with all rows, as a linear layer returns them"""
        rows = self.place.shape[0]
        places = [self.part(row, min(STRIP, rows - row)) for row in range(0, rows, STRIP)]
        strips = (self.files.read(place).to(self.device, self.dtype) for place in places)
        return torch.cat([F.linear(x, strip) for strip in strips], dim=-1)


class _Rows(_Matrix):
    """In place of an embedding: reads the rows of the ids that occur."""

    def forward(self, ids):
        """The rows of these ids, as an embedding returns them"""
        rows, positions = ids.cpu().unique(return_inverse=True)
        count = self.place.shape[0]
        if not 0 <= rows[0] <= rows[-1] < count:
            raise IndexError(f"ids must be 0 to {count - 1:,}, got {rows[0]} to {rows[-1]}")
        table = torch.cat([self.files.read(self.part(row, 1)) for row in rows.tolist()])
        return F.embedding(positions, table.to(self.dtype)).to(self.device)
