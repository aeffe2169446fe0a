"""Tar shards in the layout of webdataset: the files of an example lie one after the other.

    000007.png  000007.txt  000008.png  000008.txt ...

All that stands before the first dot of a name is the example's key, the rest says which of its
files it is. A shard is written whole or not at all, and equal examples give equal bytes: no times,
owners or modes are stored. Any tar program can look inside.
"""

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .files import open_regular, shorten, whole_file

Example = tuple[str, dict[str, bytes]]  # key, and content by suffix: {"png": ..., "txt": ...}
MOST_BYTES = 4_000_000_000  # bytes of one file in a shard
KEY = re.compile(r"[\w/-]+")


class ShardError(ValueError):
    """A shard that is damaged, or an example that none can hold; one line names it."""


def write_shard(file: Path, examples: Iterable[Example]) -> int:
    """Write a shard, whole or not at all -> the number of its examples

    Raises ShardError for a key that is there twice, or that is none, and OSError on a full disk.
    """
    keys = set()
    with whole_file(file) as partial:
        with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as archive:
            for key, contents in examples:
                if key in keys or not KEY.fullmatch(key):
                    problem = "there twice" if key in keys else "no key of letters, digits, - or /"
                    raise ShardError(f"{file}: {shorten([key])} is {problem}")
                keys.add(key)
                for suffix, content in contents.items():
                    member = tarfile.TarInfo(f"{key}.{suffix}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return len(keys)


def read_shard(file: Path) -> Iterator[Example]:
    """The examples of a shard, one at a time. Raises ShardError, one line, for a damaged one.

    What comes before the damage is yielded first: whoever needs all or nothing, collects.
    """
    key, contents, last = None, {}, "its beginning"
    try:
        with open_regular(file) as opened, tarfile.open(fileobj=opened, mode="r:") as archive:
            for member in archive:
                last = shorten([member.name])
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, suffix = name.partition(".")
                own = f"{folder}/{stem}" if folder else stem
                if own != key and key is not None:
                    yield key, contents
                    contents = {}
                key, contents[suffix] = own, _content(archive, member)
            _demand_end(opened, archive)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise ShardError(
            f"{file} is damaged after {last} ({shorten([error])}); copy it again, or write it again"
        ) from None
    if key is not None:
        yield key, contents


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MOST_BYTES:
        raise ValueError(f"{member.name} is longer than {MOST_BYTES:,} bytes")
    content = archive.extractfile(member).read()
    if len(content) < member.size:
        raise ValueError(f"it is truncated: {len(content):,} of {member.size:,} bytes")
    return content


def _demand_end(opened, archive: tarfile.TarFile) -> None:
    """Raises ValueError for an archive that was cut between two files: the end is two empty blocks

    tarfile itself takes the end of the file for the end of the archive.
    """
    opened.seek(archive.offset)
    if opened.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise ValueError("it is truncated: its end is missing")


def shards_in(folder: Path) -> list[Path]:
    """The shards of a folder, in the order of their names. Raises ShardError without any."""
    if not folder.is_dir():
        raise ShardError(f"shards must be in a folder, got {folder}; check the path")
    files = sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))
    if not files:
        raise ShardError(f"{folder} must hold shards, .tar files, got none; `qwenimage data pack`")
    return files
