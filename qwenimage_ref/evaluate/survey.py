"""What the surveys of this room share: results kept part by part, one record, one command line."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from ..files import whole_file
from ..pipeline import QwenImage
from ..repository import POCKET
from ..train.state import digest

LEAST = 8  # instructions, posters or chains of a survey of an editor


class Progress:
    """The results of a survey so far, written after each part.

    An interrupted survey resumes from the file if `terms` are the same.
    """

    def __init__(self, file: Path, terms: dict):
        self.file, self.results = file.with_suffix(".progress"), dict(terms)
        if has_terms(self.file, terms):
            self.results = json.loads(self.file.read_text(encoding="utf-8"))

    def measure(self, part: str, run: Callable[..., dict], *arguments) -> None:
        """Store what `run` returns under the name `part`, unless it is already there."""
        if part not in self.results:
            print(part, flush=True)
            self.results[part] = run(*arguments)
            write(self.results, self.file)


def write(content: dict, file: Path) -> None:
    """Write JSON, whole or not at all."""
    with whole_file(file) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def terms_of(pipe, captions: int) -> dict:
    """What a record depends on: two records with equal terms hold equal results."""
    parts = (pipe.text_encoder, pipe.transformer, pipe.vae)
    return {"weights": " ".join(map(digest, parts)), "captions": captions}


def has_terms(file: Path, terms: dict) -> bool:
    """Whether a file holds results that were measured on these terms."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {key: stored.get(key) for key in terms} == terms
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def survey_command(
    name: str, captions: int, record: Path, terms: Callable, survey: Callable, arguments=None
) -> int:
    """The command line of a survey, which is measured once for these weights and captions.

    terms(pipe, captions) is what the record depends on; survey(pipe, captions, file) writes it.
    Returns the exit status.
    """
    parser = argparse.ArgumentParser(prog=f"python -m qwenimage_ref.evaluate.{name}")
    help = f"captions painted at each setting; default {captions}"
    parser.add_argument("--captions", type=int, default=captions, help=help)
    parser.add_argument("--to", type=Path, default=record, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    if options.captions < 2:
        print(f"--captions must be at least 2, got {options.captions}", file=sys.stderr)
        return 2
    pipe = QwenImage.from_pretrained(POCKET)
    if has_terms(options.to, terms(pipe, options.captions)):
        print(f"{options.to} was measured on these weights; delete it to measure again")
        return 0
    survey(pipe, options.captions, options.to)
    print(f"{options.to}: written")
    return 0


def editor_command(
    name: str, what: str, count: int, record: Path, measure: Callable, arguments, lora: bool = False
):
    """The command line of a survey of an editor -> the record, or None where it is misused

    measure(folder, count, file) writes the record and returns it. what: painted `count` times.
    lora: whether there may be an adapter, whose file, or None, is measure's last argument.
    """
    parser = argparse.ArgumentParser(prog=f"python -m qwenimage_ref.evaluate.{name}")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an official edit folder")
    parser.add_argument("--count", type=int, default=count, metavar="N", help=what)
    parser.add_argument("--to", type=Path, default=record, metavar="FILE", help="JSON to write")
    if lora:
        help = "LoRA with which it is measured, too"
        parser.add_argument("--lora", type=Path, metavar="FILE", help=help)
    options = parser.parse_args(arguments)
    if options.count < LEAST:
        print(f"--count must be at least {LEAST}, got {options.count}", file=sys.stderr)
        return None
    more = [options.lora] if lora else []
    return measure(options.folder, options.count, options.to, *more)
