"""Two studies of LoRA training on the pocket model: on packed bases, and of one trait out of two.

    python -m qwenimage_ref.evaluate.adapted     ten minutes on one core; resumes

packed_bases.py has the first study, one_trait.py the second. Each training is done with several
seeds, and every seed has rows of its own. The record goes to data/measurements/adapted.json.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from ..train.loop import Recipe
from ..train.run_folder import RunError
from . import one_trait, packed_bases, tables
from .intervals import interval
from .one_trait import ALONE
from .packed_bases import RECIPE
from .survey import Progress, has_terms, terms_of

RECORD = MEASUREMENTS / "adapted.json"


# -- measuring


def survey(pipe: QwenImage, options: argparse.Namespace, terms: dict) -> dict:
    """Measure what is not measured yet and write the record to options.to. Returns it."""
    progress = Progress(options.to, terms)
    progress.measure(f"hearts, {ALONE}", packed_bases.alone, pipe, options.captions)
    progress.measure(f"trait, {ALONE}", one_trait.alone, pipe, options.captions)
    measure_hearts(pipe, options, progress)
    measure_trait(pipe, options, progress)
    results = {key: value for key, value in progress.results.items() if key not in terms}
    record = terms | {"numbers of seeds": options.seeds} | tabled(results, options.seeds)
    write_record(record | {"results": results}, options.to)
    progress.file.unlink()
    return record


def measure_hearts(pipe: QwenImage, options: argparse.Namespace, progress: Progress) -> None:
    """The heart on every base, seed by seed"""
    lessons = packed_bases.lessons(pipe)
    for seed in options.seeds:
        recipe = replace(RECIPE, steps=options.steps, seed=seed)
        for base in packed_bases.BASES:
            folder = _folder(options, progress, recipe, f"heart-{base.replace(' ', '-')}")
            progress.measure(
                f"hearts, {base}, seed {seed}", packed_bases.measure, base, pipe, options.base,
                lessons, recipe, folder, options.captions,
            )  # fmt: skip


def measure_trait(pipe: QwenImage, options: argparse.Namespace, progress: Progress) -> None:
    """Both ways of training on the posters of one paper, seed by seed"""
    posters = one_trait.examples(pipe)
    for seed in options.seeds:
        recipe = replace(RECIPE, steps=options.steps, seed=seed)
        for way in one_trait.LEARNED_FROM:
            folder = _folder(options, progress, recipe, f"trait-{way.split()[0]}")
            progress.measure(
                f"trait, {way}, seed {seed}", one_trait.measure, pipe, way, posters, recipe,
                folder, options.captions,
            )  # fmt: skip


def _folder(options, progress: Progress, recipe: Recipe, name: str) -> Path:
    """Where a run is kept: apart from those of other weights, lengths and seeds"""
    weights = progress.results["weights"].replace(" ", "-")
    return options.runs / weights / f"{name}-{recipe.steps}-{recipe.seed}"


# -- the record


def tabled(results: dict, seeds: list[int]) -> dict:
    """{part: what was measured} -> rows of both studies, of each seed its own"""

    def of(study: str, seed: int, names) -> dict[str, dict]:
        return {name: results[f"{study}, {name}, seed {seed}"] for name in names}

    bits, trait = results[f"hearts, {ALONE}"]["hearts"], {ALONE: results[f"trait, {ALONE}"]}
    ways = one_trait.LEARNED_FROM
    return {
        "hearts": {
            ALONE: interval(bits.count("1"), len(bits)),
            "seeds": [packed_bases.rows(of("hearts", seed, packed_bases.BASES)) for seed in seeds],
        },
        "trait": {
            "paper": one_trait.PAPER,
            "seeds": [one_trait.rows(trait | of("trait", seed, ways)) for seed in seeds],
        },
    }


def lines(record: dict) -> list[str]:
    """The rows of a record as text; shares in per cent with their intervals"""
    hearts, trait = record["hearts"], record["trait"]
    text = [f"hearts without an adapter: {tables.within(hearts[ALONE])}"]
    for seed, bases in zip(record["numbers of seeds"], hearts["seeds"]):
        text.append(f"{f'base, seed {seed}':20} {'bytes':>10}    loss  seconds  hearts")
        for base, row in bases.items():
            numbers = f"{row['bytes']:10,}  {row['loss']:.4f}  {row['seconds']:7.1f}"
            text.append(f"{base:20} {numbers}  {tables.within(row['hearts'])}")
    for seed, ways in zip(record["numbers of seeds"], trait["seeds"]):
        names = "".join(f"  {name:23}" for name in one_trait.QUESTIONS)
        text.append(f"{f'trait, seed {seed}':20}{names}".rstrip())
        for way, row in ways.items():
            shares = (f"  {tables.within(row[name]):23}" for name in one_trait.QUESTIONS)
            text.append(f"{way:20}{''.join(shares)}".rstrip())
    return text


# -- the command


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    options.seeds = list(dict.fromkeys(options.seeds))
    try:
        _check(options)
        pipe = QwenImage.from_pretrained(options.base)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    terms = terms_of(pipe, options.captions) | {"steps": options.steps}
    if has_terms(options.to, terms | {"numbers of seeds": options.seeds}):
        print(f"{options.to} was measured on these weights; delete it to measure again")
        return 0
    options.to.parent.mkdir(parents=True, exist_ok=True)
    try:
        record = survey(pipe, options, terms)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    print(*lines(record), f"{options.to}: written", sep="\n")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises ValueError, one line that names the option."""
    if not 2 <= options.captions <= one_trait.HELD_OUT:
        most = one_trait.HELD_OUT
        raise ValueError(f"--captions must be 2 to {most}, got {options.captions}")
    if options.to.is_dir():
        raise ValueError(f"--to must be a file, got the folder {options.to}; add a name")
    for seed in options.seeds:
        try:
            replace(RECIPE, steps=options.steps, seed=seed)
        except ValueError as error:  # one that begins with seed or steps
            name, _, rest = str(error).partition(" ")
            raise ValueError(f"--{name.removesuffix('s')}s {rest}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.adapted")
    add, steps = parser.add_argument, RECIPE.steps
    add("--base", type=Path, default=POCKET, metavar="FOLDER", help="the model that is trained")
    add("--captions", type=int, default=40, metavar="N", help="pictures of each; default 40")
    add("--steps", type=int, default=steps, metavar="N", help=f"of each run; default {steps}")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="default 0 1 2")
    add("--runs", type=Path, default=Path("runs/adapted"), metavar="FOLDER", help="states")
    add("--to", type=Path, default=RECORD, metavar="FILE", help="JSON to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
