"""Is a folder of weights whole? Sizes and headers in seconds, every byte when asked for.

All that is wrong is told at once, a line for each: which file, what is missing, cut short or
altered, and what to do.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from ..config import SchedulerConfig
from ..files import CheckpointError, read_json, shorten
from ..tokenizer import Tokenizer
from . import locate
from .headers import survey
from .model_folder import (
    FORGED,
    RECOMMENDED,
    STEMS,
    demand_all_layered,
    demand_one_model,
    demand_right_form,
    empty_networks,
    picture_form,
    read_model_index,
    stored_network,
)
from .published_hashes import NAMES, OPTIONAL, QWEN_IMAGE_2512, TELLING
from .stored_form import other_forms, other_keys, stored_form

RECORD = "training.json"  # beside weights that were trained here; the sha256 of each file
READ = {"model_index.json", RECOMMENDED, "scheduler_config.json", "config.json"}
READ |= {"vocab.json", "merges.txt", "added_tokens.json", "tokenizer.json", "tokenizer_config.json"}
# what the record may say: a file in the folder or one below it, and a sha256
ENTRY = re.compile(r"(\w+/)?[\w-][\w.-]{0,200} [0-9a-f]{64}", re.A)
SMALL = 10_000_000  # bytes; the sha256 of such a file is compared unasked
CHUNK = 4 << 20  # bytes read at once
PUBLISHED = "compared with Qwen-Image-2512 as published"

Findings = list[tuple[Path, str]]  # the file or folder, and one line that names it


@dataclass(frozen=True)
class FileReport:
    """One file below the folder, and how far it was looked at."""

    name: str
    bytes: int
    verdict: str


@dataclass(frozen=True)
class Report:
    """What `verify` saw. Printed, it is a table of the files and a line for each finding."""

    folder: Path
    compared: str  # what the files were compared with
    files: tuple[FileReport, ...]
    findings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def published(self) -> bool:
        """Whether it is a release whose files are known."""
        return self.compared == PUBLISHED

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    def __str__(self) -> str:
        wide = max([len(file.name) for file in self.files], default=0)
        rows = [f"  {file.name:{wide}} {file.bytes:>14,}  {file.verdict}" for file in self.files]
        count = f"{len(self.findings)} finding{'' if len(self.findings) == 1 else 's'}"
        end = f"{len(self.files)} files, {self.bytes:,} bytes: {'whole' if self.ok else count}"
        return "\n".join([f"{self.folder}: {self.compared}", *rows, *self.findings, end])


def verify(folder, hash: bool = False) -> Report:
    """Look through a folder in the official layout, or a hub id in the local cache.

    Configs, tokenizer, index files and the header of every weight file are read. A folder that is
    Qwen-Image-2512 is compared with what is published of it: sizes always, sha256 of the large
    files with `hash`, which reads every byte. Raises CheckpointError for a folder that holds no
    model at all; what is wrong with one that does is in the report.
    """
    folder = locate.resolve(folder)
    if not any((folder / name).exists() for name in ("model_index.json", *STEMS)):
        raise CheckpointError(
            f"{folder} holds no model_index.json; give the folder that contains transformer/, "
            "text_encoder/, vae/"
        )
    compared, known = _known(folder)
    verdicts, findings = _compare(folder, known, hash)
    named = {above for path, _ in findings for above in (path, *path.parents)}
    used, others = _layout(folder)
    # a file that is not the published one needs no second reason
    findings += [(path, line) for path, line in others if path not in named]
    bad = {path for path, _ in findings}
    files = []
    for path in _files(folder):
        name = path.relative_to(folder).as_posix()
        verdict = (
            "see below" if {path, path.parent} & bad else verdicts.get(name) or _verdict(path, used)
        )
        files.append(FileReport(name, path.stat().st_size, verdict))
    return Report(folder, compared, tuple(files), tuple(line for _, line in findings))


def _files(folder: Path) -> list[Path]:
    parts = [folder, *(folder / part for part in (*STEMS, "scheduler", "tokenizer"))]
    return sorted(path for part in parts for path in part.glob("*") if path.is_file())


def _verdict(path: Path, used: set[Path]) -> str:
    if path.suffix == ".safetensors":
        return "header agrees with config.json" if path in used else "never read"
    return "read" if path.name in READ or path.name.endswith(".index.json") else "not needed"


# --- what must be there


def _layout(folder: Path) -> tuple[set[Path], Findings]:
    """-> the weight files in use, what is wrong"""
    used, findings = set(), _problems(folder / "model_index.json", read_model_index, folder)
    for part in STEMS:
        where, problems = survey(folder / part)
        used |= {place.file for place in where.values()}
        findings += problems + _part(folder, part, where, whole=not problems)
    scheduler, tokenizer = folder / "scheduler" / "scheduler_config.json", folder / "tokenizer"
    findings += _problems(scheduler, SchedulerConfig.from_json, scheduler)
    findings += _problems(tokenizer, Tokenizer.load, tokenizer)
    return used, findings or _problems(tokenizer, _fit, folder)


def _fit(folder: Path) -> None:
    networks, form = empty_networks(folder), picture_form(folder)
    demand_one_model(folder, networks, Tokenizer.load(folder / "tokenizer"))
    demand_right_form(folder, form, networks["transformer"].config.zero_cond_t)
    scheduler = SchedulerConfig.from_json(folder / "scheduler" / "scheduler_config.json")
    demand_all_layered(folder, form, networks, scheduler)


def _problems(path: Path, check, *arguments) -> Findings:
    try:
        check(*arguments)
    except ValueError as error:
        return [(path, str(error))]
    return []


def _part(folder: Path, part: str, where: dict, whole: bool) -> Findings:
    """Tensors against the config; whole: every weight file could be read"""
    try:
        form = stored_form(stored_network(folder, part))
    except ValueError as error:
        return [(folder / part / "config.json", str(error))]
    lines = other_forms(form, where) + (other_keys(form, where) if whole else [])
    findings = [(folder / part, f"{folder / part}: {line}") for line in lines]
    actual = sum(place.stop - place.start for place in where.values())
    for index in (folder / part).glob("*.safetensors.index.json") if whole else ():
        try:
            stated = read_json(index)["metadata"]["total_size"]
        except (KeyError, TypeError):
            stated = None
        if stated != actual:
            line = f"{index}: total_size is {shorten([stated])}, the tensors have {actual:,} bytes"
            findings.append((index, f"{line}; fetch it again"))
    return findings


# --- what is published or recorded


def _known(folder: Path) -> tuple[str, dict[str, tuple[int | None, str]]]:
    """-> whose files these are, {name: (bytes, sha256)} of them as far as it is known"""
    if (folder / FORGED).exists():
        return "random weights, of which no sha256 is published", {}
    telling = ((folder / name, QWEN_IMAGE_2512[name][1]) for name in TELLING)
    if sum(_is(path, sha256) for path, sha256 in telling) >= 3:
        return PUBLISHED, QWEN_IMAGE_2512
    try:
        record = read_json(folder / RECORD)["sha256"].items()
        known = {name: (None, sha) for name, sha in record if ENTRY.fullmatch(f"{name} {sha}")}
        return f"compared with its own {RECORD}", known
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "of these weights no sha256 is published", {}


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size <= SMALL and _sha256(path) == sha256


def _compare(folder: Path, known: dict, hash: bool) -> tuple[dict[str, str], Findings]:
    """-> {name: verdict} of files that are as they should be, what is wrong with the others"""
    verdicts, findings, to_hash = {}, [], {}
    for name, (size, sha256) in known.items():
        path = folder / name
        actual = path.stat().st_size if path.is_file() else None
        if actual is None:
            if name not in OPTIONAL:
                findings.append((path, f"{path} is missing; finish the download"))
        elif actual != (size or actual):
            what = "is cut short" if actual < size else "is altered"
            line = f"{path} {what}: {actual:,} bytes instead of {size:,}; fetch it again"
            findings.append((path, line))
        elif hash or actual <= SMALL:
            to_hash[path] = sha256
        elif size:
            verdicts[name] = "size as published"
    # some weight files are the same in several releases
    if hash and not known and not (folder / FORGED).exists():
        shared = {size for size, _ in NAMES.values()}
        weights = (path for path in _files(folder) if path.suffix == ".safetensors")
        to_hash = {path: None for path in weights if path.stat().st_size in shared}
    total = sum(path.stat().st_size for path in to_hash)
    with tqdm(total=total, unit="B", unit_scale=True, desc="sha256", delay=0.5) as bar:
        for path, sha256 in to_hash.items():
            verdict, line = _hashed(path, sha256, bar)
            verdicts[path.relative_to(folder).as_posix()] = verdict
            findings += [(path, line)] if line else []
    return verdicts, findings


def _hashed(path: Path, expected: str | None, bar: tqdm) -> tuple[str, str]:
    """-> verdict, what is wrong"""
    try:
        digest = _sha256(path, bar)
    except OSError as error:
        return "", f"{path} cannot be read ({error.strerror}); fetch it again"
    _, name = NAMES.get(digest, (None, ""))
    if digest == expected:
        return "sha256 as it should be", ""
    if expected is None:
        return f"sha256 of {name}" if name else "sha256 is none of the published", ""
    what = f"is {name}" if name else f"is altered: its sha256 begins {digest[:8]}"
    return "", f"{path} {what}, not {expected[:8]}; fetch it again"


def _sha256(path: Path, bar: tqdm | None = None) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
            if bar is not None:
                bar.update(len(piece))
    return digest.hexdigest()
