"""What a worker does with one shard: measure its pictures, or encode those that stay.

Each reads one shard and writes one file, whole or not at all; a file that is there is finished.
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch

from ..files import read_json, whole_file
from ..pictures import SUFFIXES, picture_from
from ..tar_shards import Example, ShardError, read_shard, write_shard
from ..train.conditioning import fit
from ..train.dataset import Encoded, bucket, demand_finite, latents_of, states_of
from ..train.streamed import Shard
from .filters import numbers_of
from .together import scales

PICTURES = tuple(suffix[1:] for suffix in SUFFIXES)


@dataclass(frozen=True)
class Measure:
    """Numbers of each picture of a shard, a line of JSON each, in `to`."""

    to: str
    agreement: str | None = None  # a key of the rewards, or MODULE:FUNCTION

    def __call__(self, item: str) -> dict:
        file = Path(self.to) / f"{Path(item).stem}.jsonl"
        if not file.exists():
            with whole_file(file) as partial, partial.open("w", encoding="utf-8") as opened:
                for row in self._rows(Path(item)):
                    opened.write(json.dumps(row, ensure_ascii=False) + "\n")
        return {"file": file.name}

    def _rows(self, shard: Path) -> Iterator[dict]:
        agree = None if self.agreement is None else _agreement(self.agreement)
        for key, contents in read_shard(shard):
            picture, caption = pair(shard, key, contents)
            numbers = numbers_of(picture, caption, agree)
            yield {"key": key, "caption": caption[:1000], **numbers}


@dataclass(frozen=True)
class Encode:
    """Latents and text states of those that stay, as a shard in `to`; see train/streamed.py."""

    decided: str  # folder with a list of keys for each shard
    to: str
    weights: str
    areas: tuple[int, ...]  # pixels that pictures are trained at
    stream: bool = False

    def __call__(self, item: str) -> dict:
        file = Path(self.to) / f"{Path(item).stem}.tar"
        if not file.exists():
            write_shard(file, self._examples(Path(item)))
        return asdict(index_row(file))

    def _examples(self, shard: Path) -> list[Example]:
        keys = set(read_json(Path(self.decided) / f"{shard.stem}.json"))
        pipe, encoded = _pipeline(self.weights, self.stream), []
        for key, contents in read_shard(shard):
            if key in keys:
                encoded += self._encoded(pipe, shard, key, *pair(shard, key, contents))
        # equal sizes lie together, so that the index is short
        return [example for _, example in sorted(encoded, key=lambda each: each[0])]

    def _encoded(self, pipe, shard: Path, key: str, content: bytes, caption: str):
        """Yields the group and the files of an example, at every scale that its picture fills"""
        picture = picture_from(content, f"{shard}: {key}")
        txt = states_of(pipe, caption.strip())
        for area in scales(*picture.size, self.areas):
            shown = fit(picture, bucket(*picture.size, area))
            one = Encoded(latents_of(pipe, shown)[0], txt)
            demand_finite(one.latents, f"{shard}: {key}")
            tensors = {"latents": one.latents.cpu().contiguous(), "txt": one.txt.cpu().contiguous()}
            origin = {"shard": shard.name, "key": key, "size": shown.size, "area": area}
            name = f"{shard.stem}-{key}" + (f"-{area}" if len(self.areas) > 1 else "")
            yield one.group, (name, {
                "safetensors": safetensors.torch.save(tensors),
                "txt": caption.encode(), "json": json.dumps(origin).encode(),
            })  # fmt: skip


def pair(shard: Path, key: str, contents: dict[str, bytes]) -> tuple[bytes, str]:
    """An example's picture file and caption. Raises ShardError for one that lacks either."""
    pictures = [contents[suffix] for suffix in contents if suffix.lower() in PICTURES]
    if len(pictures) != 1 or "txt" not in contents:
        raise ShardError(
            f"{shard}: {key} must have a picture and a caption, KEY.png and KEY.txt, got "
            f"{', '.join(contents)}"
        )
    return pictures[0], contents["txt"].decode("utf-8-sig", errors="replace")


def index_row(file: Path) -> Shard:
    """What the index says of an encoded shard, from the file alone. Raises ShardError."""
    sizes: list = []
    for _, contents in read_shard(file):
        shape = list(safetensors.torch.load(contents["safetensors"])["latents"].shape)
        if sizes and sizes[-1][0] == shape:
            sizes[-1][1] += 1
        else:
            sizes.append([shape, 1])
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return Shard(file.name, file.stat().st_size, digest, tuple(sizes))


@functools.lru_cache(1)
def _pipeline(weights: str, stream: bool):
    """The encoders, loaded once a worker"""
    from ..pipeline import QwenImage

    return QwenImage.from_pretrained(weights, stream=stream)


def _agreement(name: str):
    from ..posters.reward import reward_of

    reward = reward_of(name, "--agreement")
    return lambda picture, caption: reward([picture], caption)[0]
