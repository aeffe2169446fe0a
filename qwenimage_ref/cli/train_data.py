"""What the modes of `qwenimage train` learn from: read before anything is loaded, then encoded."""

import argparse
import sys
from pathlib import Path

PICTURES = (
    "Pictures with captions: text files beside them (cat.png, cat.txt), or metadata.csv, .json or "
    ".jsonl with the columns image and prompt; the names in it are relative to its folder, or "
    "absolute and inside it. Further columns are DiffSynth-Studio's: edit_image for edit models; "
    "context_image; eligen_entity_prompts and eligen_entity_masks; layer_input_image, where image "
    "is a list, for layered models."
)
TABLES = {  # kind of data: what its folder holds
    "pictures": "pictures with captions",
    "comparisons": "metadata.csv or metadata.jsonl with the columns prompt, winner, loser",
    "taught": "metadata.csv or metadata.jsonl with the columns prompt, image, seed",
}

WITH_PICTURES = ("pictures", "pairs")  # kinds whose examples may have condition pictures
WITHOUT_PICTURES = ("prompts", "matched")  # kinds that need none; "matched" may have real ones


def add_data(parser: argparse.ArgumentParser, kind: str) -> None:
    add = parser.add_argument
    if kind in WITHOUT_PICTURES:
        add("--prompts", type=Path, required=True, metavar="FILE", help="a text file, one a line")
        add("--size", metavar="WxH", help="of what is painted; default: what the weights recommend")
        if kind == "matched":
            about = f"{TABLES['pictures']}, for --adversarial; of the size that is painted"
            add("--real", type=Path, metavar="FOLDER", help=about)
        return
    if kind == "pairs":
        for name in ("unwanted", "wanted"):
            about = f"{TABLES['pictures']}; the same captions and sizes in both"
            add(f"--{name}", type=Path, required=True, metavar="FOLDER", help=about)
    else:
        one = parser.add_mutually_exclusive_group(required=True)
        one.add_argument("--data", type=Path, metavar="FOLDER", help=TABLES[kind])
        prepared = "what `qwenimage train prepare` wrote: no encoder is loaded"
        one.add_argument("--prepared", type=Path, metavar="FOLDER", help=prepared)
    if kind == "pictures":
        add("--skip-bad", action="store_true", help="leave out examples that cannot be used")
    pixels = "largest area trained at; default: what the weights recommend"
    add("--max-pixels", type=int, metavar="N", help=pixels)


def read(options, kind: str, column: str | None = None):
    """What is named by the options. Raises DataError, one line, for what cannot be used.

    column: one that every picture must have besides its caption.
    """
    from ..train import tables
    from ..train.branches import demand_no_dropout
    from ..train.captions import DataError
    from ..train.dataset import read_folder

    if getattr(options, "prepared", None):
        return None
    if kind == "prompts":
        return tables.read_prompts(options.prompts)
    if kind == "matched":
        real = [] if options.real is None else read_folder(options.real)[0]
        return tables.read_prompts(options.prompts), real
    if kind == "pairs":
        return [read_folder(folder)[0] for folder in (options.unwanted, options.wanted)]
    if kind == "pictures":
        examples, problems = read_folder(options.data, options.skip_bad)
        for problem in problems:
            print(f"qwenimage: note: left out, {problem}", file=sys.stderr)
        regions = any(example.columns.eligen_entity_prompts for example in examples)
        demand_no_dropout(regions, getattr(options, "choice_dropout", 0.0))
        for example in examples:
            if column is not None and column not in example.columns.names:
                raise DataError(
                    f"{example.picture} must have a {column}, got none; add it to the table"
                )
        return examples
    return tables.read_table(options.data, getattr(tables, kind.upper()))


def encode(pipe, rows: list, kind: str, runs, pixels: int, weights: str):
    """-> what training needs of the rows, the empty caption's text states, and the rows' origin"""
    from ..train import dataset, distill, preference, prompts
    from ..train.captions import DataError

    if pipe.form is not None and kind not in WITH_PICTURES:
        raise DataError(
            f"the weights must be of a text-to-image model to be trained on {kind}, got those of "
            "one that is given pictures; use `train lora` or `train full`"
        )
    if kind == "prompts":
        encoded, empty = prompts.encode_prompts(pipe, rows, runs, weights)
        return encoded, empty, " ".join(rows)
    if kind == "matched":
        texts, real = rows
        encoded, empty = prompts.encode_prompts(pipe, texts, runs, weights)
        pictures, _ = dataset.encode(pipe, real, runs, pixels, weights)
        return (encoded, pictures), empty, " ".join([*texts, *(each.caption for each in real)])
    if kind == "pairs":
        encoded = [dataset.encode(pipe, each, runs, pixels, weights)[0] for each in rows]
        captions = " ".join(example.caption for each in rows for example in each)
        return encoded, dataset.kept_states(pipe, " ", runs, weights), f"{pixels} {captions}"
    if kind == "pictures":
        encoded, empty = dataset.encode(pipe, rows, runs, pixels, weights)
        return encoded, empty, f"{pixels} " + " ".join(example.caption for example in rows)
    by_kind = {"comparisons": preference.encode_comparisons, "taught": distill.encode_taught}
    encoded = by_kind[kind](pipe, rows, runs, pixels, weights)
    captions = " ".join(row["prompt"] for row in rows)
    return encoded, dataset.kept_states(pipe, " ", runs, weights), f"{pixels} {captions}"
