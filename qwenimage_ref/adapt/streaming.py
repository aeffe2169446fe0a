"""Networks larger than memory: their blocks stay on disk and come one at a time.

A block is seen through private mappings of its files: nothing is copied, and when it has computed
nothing of it stays. Meanwhile the next one is read ahead, into the system's own cache of files.
Memory is that of one block, time that of reading or of computing, whichever is longer. What the
cache has room for is read once and kept for the next pass.

Guidance asks a network twice. `velocities` and `text_states` take several calls at once, and a
streamed network answers all of them in one pass: a guided step reads the weights once.
"""

import functools
import math
import mmap
import os
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ..checkpoint import load_into
from ..checkpoint.packed_linear import PackedLinear
from ..checkpoint.stored_form import SPELLED, other_forms, other_keys, stored_form
from ..files import CheckpointError, Place, find_tensors
from ..free_memory import free_memory
from ..mmdit import MMDiT
from ..text_encoder import TextEncoder

READ = 1 << 20  # bytes read ahead in one go
READERS = 2  # threads that read ahead: a disk is fastest with several requests at hand
CACHED = 0.7  # of the memory that nobody needs, for blocks that stay in the system's cache
ALIGNED = 64  # bytes; so torch lays out its own memory
DTYPES = {name: dtype for dtype, name in SPELLED.items()}
DTYPES |= {"F8_E4M3": torch.float8_e4m3fn, "U8": torch.uint8}  # of packed layers


def velocities(mmdit: MMDiT, calls: list[tuple]) -> list[torch.Tensor]:
    """What the MMDiT answers to each of several calls; a streamed one, from one pass.

    calls: (img, txt, sigma, grids, txt_mask) each; texts and grids may differ in length.
    """
    if not isinstance(mmdit.transformer_blocks, _Blocks):
        return [mmdit(*call) for call in calls]
    entered = [mmdit.enter(*call) for call in calls]
    streams, told = [(img, txt) for img, txt, _ in entered], [told for *_, told in entered]
    for block in mmdit.transformer_blocks:
        streams = [block(*stream, *each) for stream, each in zip(streams, told)]
    targets = [math.prod(grids[0]) for _, _, _, grids, *_ in calls]
    return [
        mmdit.leave(img[:, :target], each) for (img, _), target, each in zip(streams, targets, told)
    ]


def text_states(text_encoder: TextEncoder, calls: list[tuple]) -> list[torch.Tensor]:
    """What the text tower answers to each of several calls (ids, mask); likewise."""
    if not isinstance(text_encoder.model.layers, _Blocks):
        return [text_encoder(*call) for call in calls]
    entered = [text_encoder.enter(*call) for call in calls]
    for layer in text_encoder.model.layers:
        entered = [(layer(x, *told), told) for x, told in entered]
    return [text_encoder.model.norm(x) for x, _ in entered]


def stream_mmdit(
    mmdit: MMDiT,
    folder: Path,
    dtype: torch.dtype,
    device="cpu",
    where: dict[str, Place] | None = None,
    names: dict[str, str] | None = None,
) -> None:
    """Fill an MMDiT on the meta device, its blocks left on disk. Raises CheckpointError.

    names: {official key: key in the files}, as `load_into` takes them.
    where: {parameter name: place} of all blocks, for files of another layout and for packed layers,
    whose own parameters are taken as they lie there, uncast. Whoever made it from `folder` has
    compared it with the blocks, and has filled everything that is no block.
    """
    files = _Files(_official_places(mmdit, folder, names=names) if where is None else where)
    blocks = _Blocks(mmdit.transformer_blocks, "transformer_blocks.", files, dtype, device)
    mmdit.transformer_blocks = nn.ModuleList()
    if where is None:
        load_into(mmdit, folder, dtype, unused=("transformer_blocks.",), names=names)
    mmdit.to(device).transformer_blocks = blocks


def stream_text_encoder(
    text_encoder: TextEncoder,
    folder: Path,
    dtype: torch.dtype,
    device="cpu",
    names: dict[str, str] | None = None,
    where: dict[str, Place] | None = None,
) -> None:
    """The same for a text tower; of its embedding only the rows that a prompt needs are read."""
    tower = text_encoder.model
    if where is None:
        official = _official_places(text_encoder, folder, ("visual.", "lm_head."), names)
    files = _Files(official if where is None else where)
    layers = _Blocks(tower.layers, "model.layers.", files, dtype, device)
    rows = _Rows("model.embed_tokens.weight", files, dtype, device)
    tower.layers, tower.embed_tokens = nn.ModuleList(), nn.Identity()
    left = ("visual.", "lm_head.", "model.layers.", "model.embed_tokens.")
    if where is None:
        load_into(text_encoder, folder, dtype, unused=left, names=names)
    tower.to(device)
    tower.layers, tower.embed_tokens = layers, rows


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


def _official_places(
    network: nn.Module,
    folder: Path,
    unused: tuple[str, ...] = (),
    names: dict[str, str] | None = None,
) -> dict[str, Place]:
    """Where a folder of the official layout has what the network stores, all of it and no more."""
    where = find_tensors(folder)
    where = where if names is None else {key: where[name] for key, name in names.items()}
    where = {key: place for key, place in where.items() if not key.startswith(unused)}
    wanted = stored_form(network)
    for problem in [*other_keys(wanted, where), *other_forms(wanted, where)]:
        raise CheckpointError(f"{folder}: {problem}")
    return where


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

    def __init__(self, where: dict[str, Place]):
        self.where = where
        self.known = {place.file: _identity(os.stat(place.file)) for place in where.values()}

    def views(self, places: dict[str, Place]) -> dict[str, torch.Tensor]:
        """Tensors where they lie: each a private mapping that is gone with its last reference.

        careful: to touch a mapping of what was cut off since kills the process, so the very files
        that are opened here are looked at before a byte of them is touched.
        """
        opened = {}
        try:
            for file in {place.file for place in places.values()}:
                opened[file] = file.open("rb")
                self._demand_known(file, os.fstat(opened[file].fileno()))
            return {name: _view(opened[place.file], place) for name, place in places.items()}
        except OSError as error:
            raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
        finally:
            for file in opened.values():
                file.close()

    def demand_unchanged(self, places: dict[str, Place]) -> None:
        for file in {place.file for place in places.values()}:
            self._demand_known(file, os.stat(file) if file.is_file() else None)

    def _demand_known(self, file: Path, status: os.stat_result | None) -> None:
        if status is None or _identity(status) != self.known[file]:
            raise CheckpointError(f"{file} changed while it was in use; load the model again")


def _identity(status: os.stat_result) -> tuple:
    return status.st_size, status.st_mtime_ns, status.st_ino


def _view(file, place: Place) -> torch.Tensor:
    begin = place.start - place.start % mmap.ALLOCATIONGRANULARITY
    # a private copy in name only: no page is copied unless it is written to, and none is
    bytes_ = mmap.mmap(file.fileno(), place.stop - begin, access=mmap.ACCESS_COPY, offset=begin)
    numbers = torch.frombuffer(bytes_, dtype=DTYPES[place.dtype], offset=place.start - begin)
    return numbers.view(place.shape)


class _Blocks(nn.Module):
    """Stands where the blocks of a network stood: a pass over it yields them in their order."""

    def __init__(self, blocks: nn.ModuleList, prefix: str, files: _Files, dtype, device):
        super().__init__()
        # careful: a tuple, so that blocks without weights are no part of the network
        self.blocks = tuple(block.eval() for block in blocks)
        self.files, self.dtype, self.device = files, dtype, device
        self.places = [
            {name: files.where[f"{prefix}{i}.{name}"] for name, _ in block.named_parameters()}
            for i, block in enumerate(blocks)
        ]
        self.packed = [_packed_names(block) for block in blocks]
        self.eval()

    def __len__(self) -> int:
        return len(self.blocks)

    def __iter__(self):
        """Yields each block to be called; it can be called until the next one is asked for.

        In training mode a block is called once more on the way back, and its weights come from
        disk a second time: they are never kept.
        """
        if self.training:
            for i in range(len(self)):
                yield functools.partial(checkpoint, self.call, i, use_reentrant=False)
            return
        room = CACHED * free_memory(torch.device("cpu"))
        with ThreadPoolExecutor(READERS) as readers:
            ahead = self.read_ahead(readers, 0)
            for i, (block, places) in enumerate(zip(self.blocks, self.places)):
                for part in ahead:
                    part.result()
                ahead = self.read_ahead(readers, i + 1)
                weights = self.files.views(places)
                for name, weight in weights.items():
                    weights[name] = self._ready(weight, name in self.packed[i])
                yield functools.partial(_call, block, weights)
                weights.clear()  # whoever still has the block has nothing of its memory
                self.files.demand_unchanged(places)
                room -= sum(place.stop - place.start for place in places.values())
                if room < 0:
                    forget(places.values())

    def call(self, i: int, *inputs):
        """What block i answers; its weights are mapped for this call alone."""
        views = self.files.views(self.places[i])
        weights = {name: self._ready(w, name in self.packed[i]) for name, w in views.items()}
        answer = _call(self.blocks[i], weights, *inputs)
        self.files.demand_unchanged(self.places[i])
        return answer

    def _ready(self, weight: torch.Tensor, packed: bool) -> torch.Tensor:
        if packed:
            return weight.to(self.device)
        moved = weight.to(self.device, self.dtype)
        # careful: where memory begins at an odd place, a float32 product of one row takes another
        # path through MKL and ends in other last bits; bf16 products do not care
        odd = moved is weight and self.dtype == torch.float32 and weight.data_ptr() % ALIGNED
        return moved.clone() if odd else moved

    def read_ahead(self, readers: ThreadPoolExecutor, i: int) -> list[Future]:
        """Have the tensors of block i read, in the order of the bytes; behind the last, none."""
        places = self.places[i].values() if i < len(self) else ()
        in_order = sorted(places, key=lambda place: (place.file, place.start))
        return [readers.submit(read_through, place) for place in in_order]


def _call(block: nn.Module, weights: dict, *inputs):
    return functional_call(block, weights, inputs, strict=True)


def read_through(place: Place) -> None:
    """Read a tensor only so that the system has it at hand."""
    left = place.stop - place.start
    buffer = memoryview(bytearray(min(READ, left)))
    try:
        with place.file.open("rb", buffering=0) as file:
            file.seek(place.start)
            while left and (read := file.readinto(buffer[:left])):
                left -= read
    except OSError as error:
        raise CheckpointError(f"{place.file} cannot be read: {error.strerror}") from None


def forget(places: Iterable[Place]) -> None:
    """Tell the system that it need not keep these bytes in memory.

    Left to itself it would keep those that were read last. A pass begins with those that were read
    first: of weights larger than memory, each would be gone just before its turn.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for place in places:
        with place.file.open("rb") as file:
            length = place.stop - place.start
            os.posix_fadvise(file.fileno(), place.start, length, os.POSIX_FADV_DONTNEED)


class _Rows(nn.Module):
    """Stands where an embedding stood: reads the rows that are asked for."""

    def __init__(self, key: str, files: _Files, dtype, device):
        super().__init__()
        self.places, self.files = {"weight": files.where[key]}, files
        self.dtype, self.device = dtype, device

    def forward(self, ids):
        """What an embedding answers, from the few pages in which these rows lie."""
        weight = self.files.views(self.places)["weight"]
        rows = F.embedding(ids.cpu(), weight).to(self.device, self.dtype)
        self.files.demand_unchanged(self.places)
        return rows
