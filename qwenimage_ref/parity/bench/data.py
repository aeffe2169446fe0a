"""The data pipeline: how fast with two workers, and how much memory for many pictures.

python -m qwenimage_ref.parity.bench.data rates WORKERS     pictures a second, stage by stage
python -m qwenimage_ref.parity.bench.data memory POSTERS    peak of filtering so many posters

`qwenimage bench` starts each in a process of its own; each prints a line of JSON. `rates` needs as
many cores as workers that do nothing else.
"""

import io
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from ...curation import steps
from ...curation.filters import POSTERS
from ...curation.workers import Local
from ...posters.draw import second_poster
from ...repository import POCKET, in_a_clone
from ...tar_shards import write_shard

SHARDS, EACH = 16, 64  # shards, and posters in each, whose rate is measured
AREA = 128 * 128  # pixels
LARGE = 250  # posters in a shard of those whose memory is measured


def poster_shards(folder: Path, shards: int, each: int) -> Path:
    """Write shards of whole posters, all of them different"""
    folder.mkdir()
    for n in range(shards):
        write_shard(folder / f"{n:06}.tar", map(_example, range(n * each, (n + 1) * each)))
    return folder


def _example(seed: int):
    _, pixels, caption = second_poster(seed)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"{seed:08}", {"png": file.getvalue(), "txt": caption.encode()}


def rates(workers: str) -> dict:
    """Pictures a second of each stage and of both, one after the other"""
    torch.set_num_threads(1)  # a single worker is this process, and gets one core like the others
    pool = Local(int(workers))
    with tempfile.TemporaryDirectory() as folder:
        shards = poster_shards(Path(folder) / "raw", SHARDS, EACH)
        filtered, encoded = Path(folder) / "filtered", Path(folder) / "encoded"
        start = time.monotonic()
        steps.filtered(shards, filtered, POSTERS, "posters", workers=pool)
        middle = time.monotonic()
        steps.encode(shards, filtered, encoded, POCKET, (AREA,), workers=pool)
        end = time.monotonic()
    total = SHARDS * EACH
    seconds = {"filter": middle - start, "encode": end - middle, "both": end - start}
    return {name: total / each for name, each in seconds.items()}


def memory(posters: str) -> dict:
    """Peak resident memory, in MB, of a process that filters so many posters"""
    with tempfile.TemporaryDirectory() as folder:
        shards = poster_shards(Path(folder) / "raw", -(-int(posters) // LARGE), LARGE)
        steps.filtered(shards, Path(folder) / "filtered", POSTERS)
    return {"MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


COMMANDS = {"rates": rates, "memory": memory}


@in_a_clone
def main() -> None:
    name, *arguments = sys.argv[1:] or [""]
    if name not in COMMANDS:
        raise SystemExit(__doc__)
    print(json.dumps(COMMANDS[name](*arguments)))


if __name__ == "__main__":
    main()
