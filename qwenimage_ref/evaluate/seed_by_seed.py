"""The command of a training that is measured seed by seed: options, resuming, one record of all.

A record has what is common to all seeds and, under "seeds", what each training gave. A seed that is
measured lies in a file of its own until all are.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import POCKET
from .hard_captions import SETTINGS
from .survey import Progress, has_terms, terms_of


@dataclass(frozen=True)
class Beta:
    """An option --beta; a record of its own for each value but the default."""

    default: float
    about: str
    zero: bool = False  # whether it may be 0


@dataclass(frozen=True)
class Options:
    """What the command line chose, for the training with one of its seeds."""

    captions: int  # held-out ones of each kind
    steps: int  # steps of the training
    seed: int
    runs: Path
    to: Path  # the record of all seeds
    beta: float | None = None  # None where it is no option


def command(
    name: str,
    record: Path,
    steps: int,
    survey: Callable,
    arguments: list[str] | None = None,
    beta: Beta | None = None,
) -> int:
    """The command line of a training and its measurement, seed by seed -> the exit status

    survey(pipe, options, terms, file) trains with one seed, measures and writes to `file`. The
    record holds what is common to all seeds and, under "seeds", what each of these files held.
    beta: the option of that name, where there is one.
    """
    options = _parser(name, steps, beta).parse_args(arguments)
    if options.captions < 2 or options.steps < 2:
        given = f"{options.captions} and {options.steps}"
        print(f"--captions and --steps must be at least 2, got {given}", file=sys.stderr)
        return 2
    if beta and not (0 < options.beta < math.inf or beta.zero and options.beta == 0):
        least = "at least" if beta.zero else "above"
        print(f"--beta must be {least} 0 and finite, got {options.beta}", file=sys.stderr)
        return 2
    if options.to is None:
        usual = beta is None or options.beta == beta.default
        own = f"{record.stem}_{options.beta}".removesuffix(".0")
        options.to = record if usual else record.with_stem(own)
    pipe = QwenImage.from_pretrained(options.base)
    terms = terms_of(pipe, options.captions) | {"steps": options.steps}
    terms |= {} if beta is None else {"beta": options.beta}
    listed = terms | {"numbers of seeds": options.seeds}
    if has_terms(options.to, listed):
        print(f"{options.to} was measured on these weights; delete it to measure again")
        return 0
    parts = [_measured(pipe, options, terms, seed, survey) for seed in options.seeds]
    each = [json.loads(part.read_text(encoding="utf-8")) for part in parts]
    write_record(listed | {"seeds": [_without(one, terms) for one in each]}, options.to)
    for part in (*parts, options.to.with_suffix(".progress")):
        part.unlink(missing_ok=True)
    print(f"{options.to}: written")
    return 0


def _parser(name: str, steps: int, beta: Beta | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m qwenimage_ref.evaluate.{name}")
    add = parser.add_argument
    add("--base", type=Path, default=POCKET, metavar="FOLDER", help="the model that is trained")
    add("--captions", type=int, default=50, help="held-out ones of each kind; default 50")
    add("--steps", type=int, default=steps, help=f"training steps; default {steps}")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default 0 1 2")
    add("--runs", type=Path, default=Path("runs") / name, help="states, to resume from")
    add("--to", type=Path, metavar="FILE", help=f"default data/measurements/{name}.json")
    parser.set_defaults(beta=None)
    if beta is not None:
        about = f"{beta.about}; default {beta.default:g}, another has a record of its own"
        add("--beta", type=float, default=beta.default, metavar="X", help=about)
    return parser


def with_before(pipe, options: Options, terms: dict, file: Path, trials, ask) -> Progress:
    """-> the results of one seed so far, with those of the base, which all seeds share

    ask: `answers`, or what stands in for it.
    """
    common = {key: value for key, value in terms.items() if key != "seed"}
    base, progress = Progress(options.to, common), Progress(file, terms)
    for name, setting in SETTINGS.items():
        base.measure(f"before, {name}", ask, pipe, trials, *setting)
        progress.results[f"before, {name}"] = base.results[f"before, {name}"]
    return progress


def _measured(pipe, options, terms: dict, seed: int, survey: Callable) -> Path:
    """-> the file of one seed's training, which is measured unless it is there"""
    part, own = options.to.with_suffix(f".seed{seed}.json"), terms | {"seed": seed}
    if not has_terms(part, own):
        names = ("captions", "steps", "runs", "to", "beta")
        chosen = Options(seed=seed, **{name: getattr(options, name) for name in names})
        survey(pipe, chosen, own, part)
    return part


def _without(record: dict, terms: dict) -> dict:
    """A seed's record less what the whole one has itself"""
    common = {*terms, "machine", "versions", "command"}
    return {key: value for key, value in record.items() if key not in common}


def log_of(file: Path) -> list[dict]:
    """A run's log, rounded to what a chart shows"""
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return [{key: float(f"{value:.5g}") for key, value in line.items()} for line in lines]
