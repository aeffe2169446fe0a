"""Folders of encoded shards, made of random latents in a moment."""

from dataclasses import asdict
from pathlib import Path

import safetensors.torch
import torch

from qwenimage_ref.curation.work import index_row
from qwenimage_ref.tar_shards import write_shard
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.run_folder import RunFolder
from qwenimage_ref.train.state import write_tensors
from qwenimage_ref.train.streamed import EMPTY, INDEX, Shard, index_text

from .few_examples import EMPTY as STATES
from .few_examples import WIDTH

SHAPES = ((16, 4, 6), (16, 6, 4))


def encoded(count: int) -> list[Encoded]:
    """Examples of two sizes; the first number of an example's latents is its own"""
    rng = torch.Generator().manual_seed(0)
    examples = []
    for i in range(count):
        latents = torch.randn(SHAPES[i % 3 == 2], generator=rng)
        latents[0, 0, 0] = i
        examples.append(Encoded(latents, torch.randn(3 + i % 2, WIDTH, generator=rng)))
    return examples


def write(folder: Path, examples: list[Encoded], each: int = 5) -> Path:
    """Write the examples as a finished folder, `each` in a shard"""
    folder.mkdir()
    rows = []
    for start in range(0, len(examples), each):
        file = folder / f"{start // each:06}.tar"
        write_shard(file, (_files(i, examples[i]) for i in _sorted(examples, start, each)))
        rows.append(Shard(**asdict(index_row(file))))
    write_tensors(RunFolder(folder), folder / EMPTY, {"txt": STATES}, {})
    (folder / INDEX).write_text(index_text(rows, "random"))
    return folder


def _sorted(examples, start: int, each: int) -> list[int]:
    numbers = range(start, min(start + each, len(examples)))
    return sorted(numbers, key=lambda i: examples[i].group)


def _files(i: int, one: Encoded):
    tensors = safetensors.torch.save({"latents": one.latents, "txt": one.txt})
    return f"{i:06}", {"safetensors": tensors, "txt": b"a caption"}


def number(example: Encoded) -> int:
    return int(example.latents[0, 0, 0])
