"""Encoded examples that are read from tar shards while training goes on.

A folder holds shards, `empty.safetensors` with the text states of the empty caption, and
`shards.json`, which comes last: a folder without it is not finished. In a shard lie, for each
example, KEY.safetensors (latents and txt), KEY.txt (the caption) and KEY.json (where it is from).

What a batch holds depends on seed and number alone, as for examples in memory, so a run that was
stopped in the middle of an epoch goes on with the very next example.
"""

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ..files import open_regular, read_json
from ..tar_shards import ShardError, read_shard
from .captions import DataError
from .dataset import Encoded
from .recipe import Recipe
from .state import read_tensors

INDEX, VERSION, EMPTY = "shards.json", 1, "empty.safetensors"
REMEDY = "encode the folder again"
WINDOW = 8  # shards among which examples are shuffled, and which are in memory together


@dataclass(frozen=True)
class Shard:
    """What the index says of one shard."""

    file: str
    bytes: int
    sha256: str
    sizes: tuple  # (shape of latents, number of examples) in the order in which they lie there

    @property
    def groups(self) -> list[tuple]:
        """The group of each example, as in Encoded"""
        return [tuple(shape) for shape, count in self.sizes for _ in range(count)]


class Streamed:
    """A sequence of Encoded in which every element is read when it is asked for.

    At most `window` shards are in memory; the one that was not used for longest makes room. Raises
    DataError, one line, for a folder that is not finished and for a shard that is not the one of
    the index: its length is compared at the start, its sha256 when it is read.
    """

    def __init__(self, folder: str | Path, window: int = WINDOW):
        self.folder, self.window = Path(folder), window
        self.shards, self.origin = read_index(self.folder)
        self.groups = [group for shard in self.shards for group in shard.groups]
        self._place = [
            (s, i) for s, each in enumerate(self.shards) for i in range(len(each.groups))
        ]
        self._loaded: OrderedDict[int, list[Encoded]] = OrderedDict()
        self.reads = 0  # shards read so far
        for shard in self.shards:
            self._demand_length(shard)

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, i: int) -> Encoded:
        shard, place = self._place[i]
        if shard not in self._loaded:
            while len(self._loaded) >= self.window:
                self._loaded.popitem(last=False)
            self._loaded[shard] = self._read(self.shards[shard])
        self._loaded.move_to_end(shard)
        return self._loaded[shard][place]

    @property
    def empty(self) -> torch.Tensor:
        """The text states of the empty caption, (T, Dt)"""
        return read_tensors(self.folder / EMPTY, REMEDY)[0]["txt"]

    def batches(self, count: int, recipe: Recipe) -> "ShardBatches":
        """Which examples each batch of at most `count` holds"""
        return ShardBatches(self.shards, count, recipe, self.window)

    def _demand_length(self, shard: Shard) -> None:
        file = self.folder / shard.file
        length = file.stat().st_size if file.is_file() else -1
        if length != shard.bytes:
            state = "is missing" if length < 0 else f"must be {shard.bytes:,} bytes, got {length:,}"
            raise DataError(f"{file} {state}; copy it again, or {REMEDY}")

    def _read(self, shard: Shard) -> list[Encoded]:
        file = self.folder / shard.file
        self.reads += 1
        try:
            with open_regular(file) as opened:
                if hashlib.file_digest(opened, "sha256").hexdigest() != shard.sha256:
                    raise ShardError(f"{file} is not the shard of {INDEX}: another sha256")
            examples = [Encoded(**load(each["safetensors"])) for _, each in read_shard(file)]
        except (OSError, SafetensorError, ShardError, KeyError, TypeError) as error:
            raise DataError(
                f"{file} cannot be read ({error}); copy it again, or {REMEDY}"
            ) from None
        if [example.group for example in examples] != shard.groups:
            raise DataError(f"{file} does not fit {INDEX}; {REMEDY}")
        return examples


class ShardBatches:
    """Which examples each batch holds: in an epoch every one comes once, shard after shard.

    An epoch takes the shards in a random order and shuffles the examples of `window` of them at a
    time. Examples go into batches of their size as they come; a batch is due when it is full, and
    what is left over at the end makes smaller ones. So the number of batches is the same in every
    epoch, and few shards are needed at any moment.
    """

    def __init__(self, shards: list[Shard], count: int, recipe: Recipe, window: int):
        self.count, self.recipe, self.window = count, recipe, window
        self.groups = [shard.groups for shard in shards]
        totals: dict[tuple, int] = {}
        for group in (group for groups in self.groups for group in groups):
            totals[group] = totals.get(group, 0) + 1
        self.per_epoch = sum(-(-total // count) for total in totals.values())
        self._epoch, self._planned = None, []

    def __getitem__(self, number: int) -> list[int]:
        """Number of a batch, counted on from epoch to epoch -> its examples"""
        epoch, place = divmod(number, self.per_epoch)
        if epoch != self._epoch:
            self._epoch, self._planned = epoch, self._plan(epoch)
        return self._planned[place]

    def _plan(self, epoch: int) -> list[list[int]]:
        rng = self.recipe.generator(epoch, "order")
        starts, total = [], 0
        for groups in self.groups:
            starts.append(total)
            total += len(groups)
        order = torch.randperm(len(self.groups), generator=rng).tolist()
        filling: dict[tuple, list[int]] = {}
        batches = []
        for begin in range(0, len(order), self.window):
            near = [(starts[s] + i, group) for s in order[begin : begin + self.window]
                    for i, group in enumerate(self.groups[s])]  # fmt: skip
            for i in torch.randperm(len(near), generator=rng).tolist():
                example, group = near[i]
                batch = filling.setdefault(group, [])
                batch.append(example)
                if len(batch) == self.count:
                    batches.append(filling.pop(group))
        return batches + list(filling.values())


def read_index(folder: Path) -> tuple[list[Shard], str]:
    """-> the shards and the origin of their examples. Raises DataError without an index."""
    try:
        index = read_json(folder / INDEX)
        if index["version"] != VERSION:
            raise ValueError("it is of another version of this program")
        shards = [Shard(**{**row, "sizes": tuple(row["sizes"])}) for row in index["shards"]]
        if not sum(len(shard.groups) for shard in shards):
            raise ValueError("it names no example")
        return shards, str(index["origin"])
    except FileNotFoundError:
        raise DataError(f"{folder} must hold {INDEX}, which ends its encoding; {REMEDY}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{folder / INDEX} cannot be read ({error}); {REMEDY}") from None


def index_text(shards: list[Shard], origin: str) -> str:
    """The content of `shards.json`"""
    rows = [vars(shard) | {"sizes": list(shard.sizes)} for shard in shards]
    return json.dumps({"version": VERSION, "origin": origin, "shards": rows}, indent=1) + "\n"
