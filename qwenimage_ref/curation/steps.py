"""The data pipeline on a folder of shards: pack, measure, decide, encode.

    pack      pictures with captions            -> shards of files
    filter    shards, measured one by one       -> decided/SHARD.json, the keys that stay
    encode    those, by VAE and text encoder    -> shards of latents, which a trainer streams

Only the decision sees all pictures; it keeps a hash and a thumbnail of each, 2 kB. Everything
else is done by workers, a shard at a time. Each step may be stopped and goes on where it was.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from ..files import read_json, shorten, whole_file
from ..tar_shards import shards_in, write_shard
from ..train.captions import DataError
from ..train.dataset import rows_in, states_of, weights_id
from ..train.run_folder import RunFolder
from ..train.state import write_tensors
from ..train.streamed import EMPTY, INDEX, Shard, index_text
from .filters import Limits, reason
from .together import Duplicates, balanced, kind_of
from .work import Encode, Measure, _pipeline
from .workers import Local

TERMS, DECIDED, MEASURED, SUMMARY = "terms.json", "decided", "measured", "filtered.json"


# -- pack


def pack(folder: Path, to: Path, each: int) -> tuple[int, int, list[str]]:
    """Pictures with captions -> numbers of shards and examples, and a line for each left out

    Files go in as they are: whether a picture can be read is a filter's question.
    """
    rows, problems = rows_in(folder)
    for picture, _, row in rows:
        if further := set(row) - {"image", "file_name", "prompt", "text", "caption"}:
            raise DataError(
                f"{picture} must have a caption and nothing else to go into a shard, got "
                f"{shorten(sorted(further))}; use `qwenimage train prepare`"
            )
    if not rows:
        raise DataError(f"{folder} must hold pictures with captions, got none")
    to.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rows), each):
        write_shard(to / f"{start // each:06}.tar", _files(rows[start : start + each], start))
    return -(-len(rows) // each), len(rows), problems


def _files(rows, start: int) -> Iterator:
    for number, (picture, caption, _) in enumerate(rows, start):
        suffix = picture.suffix[1:].lower()
        yield f"{number:08}", {suffix: picture.read_bytes(), "txt": caption.encode()}


# -- filter


def filtered(
    shards: Path, to: Path, limits: Limits, agreement: str | None = None, most: float | None = None,
    seed: int = 0, workers=None,
) -> dict:  # fmt: skip
    """Measure every picture and decide which stay -> {"examples", "kept", "removed": {reason: n}}

    most: how many times the rarest kind a kind may have; None: all stay. Raises WorkError,
    ShardError or DataError, one line.
    """
    files = shards_in(shards)
    demand_terms(to, {"shards": stamps(files), "agreement": agreement})
    (to / MEASURED).mkdir(exist_ok=True)
    work = Measure(str(to / MEASURED), agreement)
    for _ in (workers or Local()).map(work, [str(file) for file in files]):
        pass
    measured = [to / MEASURED / f"{file.stem}.jsonl" for file in files]
    removed, kinds = decide(measured, limits)
    if most is not None:
        staying = balanced(kinds, most, seed)
        removed["balance"] = len(kinds) - len(staying)
    else:
        staying = set(kinds)
    write_decision(to, files, staying)
    summary = {
        "examples": sum(removed.values()) + len(staying),
        "kept": len(staying),
        "removed": dict(removed),
        "kinds": dict(Counter(kinds[key] for key in staying)),
        "limits": asdict(limits),
    }
    with whole_file(to / SUMMARY) as partial:
        partial.write_text(json.dumps(summary, indent=1) + "\n")
    return summary


def decide(measured: list[Path], limits: Limits) -> tuple[Counter, dict[str, str]]:
    """Numbers of all pictures -> how many each filter removes, and {SHARD/KEY: kind} of the rest

    In the order of the files, so that of two duplicates the earlier one stays.
    """
    removed, kinds, duplicates = Counter(), {}, Duplicates()
    for file in measured:
        for row in rows_of(file):
            why = reason(row, limits)
            name = f"{file.stem}/{row['key']}"
            if why is None:
                thumbnail = bytes.fromhex(row["thumbnail"])
                if duplicates.earlier(name, row["hash"], thumbnail) is not None:
                    why = "duplicate"
            if why is None:
                kinds[name] = kind_of(row, row["caption"])
            else:
                removed[why] += 1
    return removed, kinds


def rows_of(file: Path) -> Iterator[dict]:
    """The numbers of a shard's pictures, as Measure wrote them"""
    with file.open(encoding="utf-8") as opened:
        for line in opened:
            yield json.loads(line)


def write_decision(to: Path, files: list[Path], staying: set[str]) -> None:
    """Write which examples stay, by names SHARD/KEY, as `encode` reads it"""
    folder = to / DECIDED
    folder.mkdir(parents=True, exist_ok=True)
    keys: dict[str, list[str]] = {file.stem: [] for file in files}
    for name in sorted(staying):
        stem, _, key = name.partition("/")
        keys[stem].append(key)
    for stem, own in keys.items():
        with whole_file(folder / f"{stem}.json") as partial:
            partial.write_text(json.dumps(own) + "\n")


# -- encode


def encode(
    shards: Path, decided: Path, to: Path, weights: Path, areas: tuple[int, ...],
    stream: bool = False, workers=None,
) -> int:  # fmt: skip
    """Encode what stays, into shards with an index -> the number of examples

    Raises WorkError, ShardError or DataError, one line.
    """
    files = shards_in(shards)
    folder = RunFolder(to)
    with folder.locked():
        identity = weights_id(weights)
        terms = {"shards": stamps(files), "decided": _decision(decided, files)}
        demand_terms(to, terms | {"weights": identity, "areas": list(areas)})
        work = Encode(str(decided / DECIDED), str(to), str(weights), areas, stream)
        results = (workers or Local()).map(work, [str(file) for file in files])
        rows = sorted((Shard(**row) for row in results), key=lambda shard: shard.file)
        rows = [shard for shard in rows if shard.sizes]
        if not rows:
            raise DataError(f"{decided} must keep an example, got none; loosen the limits")
        txt = states_of(_pipeline(str(weights), stream), " ")
        write_tensors(folder, to / EMPTY, {"txt": txt}, {})
        content = json.dumps([identity, [shard.sha256 for shard in rows]])
        origin = hashlib.sha256(content.encode()).hexdigest()
        with folder.whole_file(to / INDEX) as partial:
            partial.write_text(index_text(rows, origin))
    return sum(len(shard.groups) for shard in rows)


def _decision(folder: Path, files: list[Path]) -> str:
    """Identifies the lists of keys that stay. Raises DataError where one is missing."""
    total = hashlib.sha256()
    for file in files:
        try:
            total.update((folder / DECIDED / f"{file.stem}.json").read_bytes())
        except OSError:
            raise DataError(
                f"{folder} must hold a decision on {file.name}, got none; run `qwenimage data "
                "filter` first"
            ) from None
    return total.hexdigest()


# -- terms


def stamps(files: list[Path]) -> str:
    """Identifies shards by name and length: to read them all again would take too long"""
    rows = [(file.name, file.stat().st_size) for file in files]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def demand_terms(folder: Path, terms: dict) -> None:
    """Raises DataError for a folder that was begun with other shards, weights or settings."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / TERMS
    if not file.exists():
        with whole_file(file) as partial:
            partial.write_text(json.dumps(terms, indent=1) + "\n")
        return
    try:
        stored = read_json(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); choose another folder") from None
    if stored != terms:
        names = [name for name in terms if stored.get(name) != terms[name]]
        raise DataError(
            f"{folder} was begun with other {', '.join(names)}; choose another folder, or remove it"
        )
