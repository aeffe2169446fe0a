"""A checkpoint of random numbers in exactly the official layout: for a trial of the whole machine.

Names, shapes, types, shards, index files and headers are those of the release, to the byte. The
numbers are drawn, not learned, so such a model paints noise; but it reads, streams, validates and
takes time and memory like the real one.
"""

import functools
import os
import shutil
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..conditions import FORM_OF_CLASS
from ..config import MMDiTConfig, SchedulerConfig, VAEConfig
from ..files import CheckpointError, whole_file
from ..mmdit import MMDiT
from ..repository import POCKET, ROOT
from ..text_encoder import TextEncoder
from ..tokenizer import Tokenizer
from ..vae import VAE
from ..vision import Vision
from .config_files import Configs, json_text, write_json, write_small_files
from .model_folder import FORGED, STEMS, TEXT_TO_IMAGE, StoredTextEncoder
from .shards import SHARD_BYTES, index_json, shard_layout

POCKET_TOKENIZER = POCKET / "tokenizer"
DTYPE = torch.bfloat16  # the type of every released file
PIECE = 1 << 20  # numbers drawn and written at once
STD = 0.02
EDIT, EDIT_PLUS, LAYERED = FORM_OF_CLASS
MODELS = {  # class of the forged model; Edit and 2509 have Qwen-Image's numbers
    "qwen-image": Configs(),
    "edit": Configs(pipeline=EDIT),
    "edit-2509": Configs(pipeline=EDIT_PLUS),
    "edit-2511": Configs(replace(MMDiTConfig.official(), zero_cond_t=True), pipeline=EDIT_PLUS),
    "layered": Configs(
        replace(MMDiTConfig.official(), use_additional_t_cond=True, use_layer3d_rope=True),
        vae=replace(VAEConfig.official(), input_channels=4),
        scheduler=replace(SchedulerConfig.official(), time_shift_type="linear", shift_terminal=0.0),
        pipeline=LAYERED,
    ),
}
ONE = 0x3F80  # 1.0 in bf16


@dataclass(frozen=True)
class Shard:
    """One weight file: its first bytes and where each tensor lies."""

    path: Path
    first: bytes
    places: dict[str, tuple[int, int]]  # key: start and stop in bytes, in the file's order

    @property
    def size(self) -> int:
        return max(stop for _, stop in self.places.values())

    def is_there(self) -> bool:
        if not self.path.is_file() or self.path.stat().st_size != self.size:
            return False
        with self.path.open("rb") as file:
            return file.read(len(self.first)) == self.first


def first_blocks(count: int | None, model: str = "qwen-image") -> Configs:
    """The numbers of one of MODELS with fewer blocks, and as few layers of the text tower

    count None: all.
    """
    official = MODELS[model]
    if count is None:
        return official
    most = official.transformer.num_layers
    if not 1 <= count <= most:
        raise ValueError(f"--blocks must be 1 to {most}, got {count}")
    layers = min(count, official.text_encoder.num_hidden_layers)
    return replace(
        official,
        transformer=replace(official.transformer, num_layers=count),
        text_encoder=replace(official.text_encoder, num_hidden_layers=layers),
    )


def forge(
    folder,
    configs: Configs | None = None,
    tokenizer: Path = POCKET_TOKENIZER,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write, or go on writing, a random checkpoint; returns the bytes that were written now.

    Matrices are normal with std 0.02, norms are 1, biases 0, all bf16. Every piece of every tensor
    is drawn from a generator seeded by the tensor's official name, so a forge that was stopped goes
    on to the same bytes. progress(done, total) counts the bytes of all weight files. Raises
    CheckpointError where the folder is not ours to write, or too small for what is missing.
    """
    folder, configs = Path(folder).expanduser().resolve(), configs or Configs()
    if folder.is_relative_to(ROOT):
        raise CheckpointError(f"{folder} lies in the repository; choose a folder outside it")
    numbers = asdict(configs)
    if configs.pipeline == TEXT_TO_IMAGE:
        del numbers["pipeline"]  # marks of earlier versions do not have it
    numbers = {"seed": seed, "configs": numbers}
    return written_whole(
        folder, numbers, lambda: _write(folder, configs, seed, tokenizer, progress)
    )


def written_whole(folder: Path, numbers: dict, write: Callable[[], int]) -> int:
    """What `write` returns, in a folder that is marked as forged from these numbers

    Raises CheckpointError where the folder is not ours to write, or the disk fails.
    """
    try:
        _claim(folder, numbers)
    except OSError as error:
        raise CheckpointError(
            f"a checkpoint must go into a folder that can be written to, got {folder} "
            f"({error.strerror}); choose another"
        ) from None
    try:
        return write()
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {folder}: {error.strerror or error}; finished files are "
            "kept; run the same command to resume"
        ) from None


def _write(folder: Path, configs: Configs, seed: int, tokenizer: Path, progress) -> int:
    parts = _networks(configs)
    shards = [
        Shard(folder / part / name, first, places)
        for part, network in parts.items()
        for name, (first, places) in shard_layout(
            network, _shard_bytes(part, configs), STEMS[part], DTYPE
        ).items()
    ]
    for part in parts:
        (folder / part).mkdir(parents=True, exist_ok=True)
        for partial in (folder / part).glob(".*.safetensors.*"):
            partial.unlink()  # remains of a forge that was killed
    missing = missing_shards(folder, shards)
    for name in ("tokenizer", *(["processor"] if configs.pipeline != TEXT_TO_IMAGE else [])):
        # careful: contents alone; files that are read-only could not be written again
        shutil.copytree(tokenizer, folder / name, copy_function=shutil.copyfile, dirs_exist_ok=True)
    write_small_files(folder, configs, Tokenizer.load(folder / "tokenizer").added)
    for part, network in parts.items():
        if sum(shard.path.parent.name == part for shard in shards) > 1:
            with whole_file(folder / part / f"{STEMS[part]}.safetensors.index.json") as partial:
                limit = _shard_bytes(part, configs)
                partial.write_bytes(index_json(network, limit, STEMS[part], DTYPE))
    return forge_shards(shards, missing, seed, progress)


def missing_shards(folder: Path, shards: list[Shard]) -> list[Shard]:
    """Those that are not there yet. Raises CheckpointError where the disk is too small for them."""
    missing = [shard for shard in shards if not shard.is_there()]
    needed, free = sum(shard.size for shard in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise CheckpointError(
            f"{folder}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
            "choose another folder, or forge fewer blocks"
        )
    return missing


def forge_shards(shards: list[Shard], missing: list[Shard], seed: int, progress) -> int:
    """Write the missing ones -> their bytes"""
    total, needed = (sum(shard.size for shard in some) for some in (shards, missing))
    done = total - needed
    progress(done, total)
    for shard in missing:
        for written in _forge_shard(shard, seed):
            done += written
            progress(done, total)
    return needed


def _shard_bytes(part: str, configs: Configs) -> int:
    """Edit-2511 and Layered were cut into shards of twice the size, their text encoder was not."""
    numbers = configs.transformer
    later = part == "transformer" and (numbers.zero_cond_t or numbers.use_layer3d_rope)
    return 2 * SHARD_BYTES if later else SHARD_BYTES


def _networks(configs: Configs) -> dict[str, nn.Module]:
    """Every part with all that its files hold, on the meta device."""
    with torch.device("meta"):
        text_encoder = TextEncoder(configs.text_encoder)
        return {
            "text_encoder": StoredTextEncoder(text_encoder, Vision(configs.vision)),
            "transformer": MMDiT(configs.transformer),
            "vae": VAE(configs.vae),
        }


def _claim(folder: Path, what: dict) -> None:
    """Mark an empty folder as ours, or see that the mark in it says the same."""
    what = {"about": "random numbers, not learned weights"} | what
    mark = folder / FORGED
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != json_text(what):
            raise CheckpointError(
                f"{folder} was forged with other numbers (see {FORGED}); choose another folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} is not empty and not forged; choose another folder")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(mark, what)


def _forge_shard(shard: Shard, seed: int):
    """Write one file, whole or not at all; yields the bytes of each piece once it is written."""
    jobs = [
        (key, number, start + number * 2 * PIECE, stop)
        for key, (start, stop) in shard.places.items()
        for number in range(-(-(stop - start) // (2 * PIECE)))
    ]
    with whole_file(shard.path) as partial, partial.open("wb", buffering=0) as file:
        yield _put(file, shard.first, 0)

        def write(job) -> int:
            key, number, start, stop = job
            return _put(file, piece(key, number, min(PIECE, (stop - start) // 2), seed), start)

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            yield from pool.map(write, jobs)


def _put(file, content, start: int) -> int:
    left = memoryview(content).cast("B")
    size = len(left)
    while left:  # a disk that fills takes less than it was given before it refuses
        taken = os.pwrite(file.fileno(), left, start)
        left, start = left[taken:], start + taken
    return size


def piece(key: str, number: int, count: int, seed: int) -> np.ndarray:
    """The numbers of the tensor `key` from number * PIECE on: (count,) bf16, seen as uint16."""
    if key.endswith("bias"):
        return np.zeros(count, np.uint16)
    layer = key.split(".")[-2]
    if key.endswith("gamma") or "norm" in layer or "rms" in layer or layer == "ln_q":
        return np.full(count, ONE, np.uint16)
    generator = np.random.SFC64([seed, zlib.crc32(key.encode()), number])
    bits = generator.random_raw(-(-count // 4)).view(np.uint16)[:count]
    drawn = torch.index_select(_normal(), 0, torch.from_numpy(bits.astype(np.int32)))
    return drawn.view(torch.uint16).numpy()


@functools.cache
def _normal() -> torch.Tensor:
    """(65536,) bf16: the normal distribution at equal steps of its probability

    16 random bits choose among them, ten times as fast as a call of `normal_`. The steps are finer
    than bf16 except close to zero; the farthest numbers are 4.3 std out.
    """
    probability = (torch.arange(65536, dtype=torch.float64) + 0.5) / 65536
    return (STD * torch.special.ndtri(probability)).to(DTYPE)
