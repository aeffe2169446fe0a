"""Where is the word spelled? Causal tracing of the pocket model, judged by the exact reader.

    python -m qwenimage_ref.evaluate.causal_tracing [--weights FOLDER]     resumes if interrupted

Text tokens are hidden from the image tokens, block by block, head by head and step by step, or
their states are exchanged for those of another caption; then the pictures are read. Beside each
stands a control: as many other tokens hidden, or the same word put in from another noise. At last a
LoRA on few blocks learns to spell otherwise. The record goes to
data/measurements/causal_tracing.json.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from ..pipeline import QwenImage
from ..provenance import write_record
from ..repository import MEASUREMENTS, POCKET, in_a_clone
from . import spelling_lora
from .score import Trial
from .survey import Progress, terms_of
from .traced import (
    ATTRIBUTES,
    CHINESE,
    COLOUR_AND_SHAPE,
    KINDS,
    LATIN,
    MIXED,
    SEEDS,
    STEPS,
    Tokens,
    Within,
    all_but_word,
    counted,
    hidden,
    other_noise,
    other_tokens,
    other_word,
    paint,
    paint_patched,
    scores_of,
    sign_tokens,
    untouched,
    word_tokens,
    worded,
)

RECORD = MEASUREMENTS / "causal_tracing.json"
WORDS = ("word", "scene")  # keys of a score that are counted where words are hidden
Row = dict[str, dict]  # what `traced.counted` returns


def of_all_seeds(captions, count: int, *kind: str) -> list[Trial]:
    """captions(count, seed, *kind), one seed after the other"""
    return [trial for seed in SEEDS for trial in captions(count, seed, *kind)]


def rows(pipe, trials: list[Trial], settings: dict[str, Within], keys=WORDS) -> dict[str, Row]:
    """What is right in the pictures of each setting"""
    bar = tqdm(settings.items(), unit="setting", leave=False)
    return {
        name: counted(scores_of(trials, paint(pipe, trials, within)), keys) for name, within in bar
    }


def every_block(pipe) -> range:
    return range(len(pipe.transformer.transformer_blocks))


def each_block(pipe, tokens: Tokens, **options) -> dict[str, Within]:
    """Tokens hidden in each block alone, then in all"""
    alone = {str(n): hidden(pipe, tokens, [n], **options) for n in every_block(pipe)}
    return alone | {"all": hidden(pipe, tokens, every_block(pipe), **options)}


# -- parts ----------------------------------------------------------------------------------------


def blocks(pipe, count: int, kind: str) -> dict[str, Row]:
    """The word hidden in one block, in all, and in none"""
    settings = {"none": untouched} | each_block(pipe, word_tokens)
    return rows(pipe, of_all_seeds(worded, count, kind), settings)


def ranked(measured: dict[str, Row]) -> list[int]:
    """Numbers of the blocks, the one first without which fewest signs are right"""
    numbers = [int(name) for name in measured if name.isdigit()]
    return sorted(numbers, key=lambda n: measured[str(n)]["signs"]["share"])


def translated(pipe, count: int, order: list[int]) -> dict[str, Row]:
    """The word hidden under a caption in the other language, in two blocks, in all, in none"""
    settings = {"none": untouched}
    settings |= {str(n): hidden(pipe, word_tokens, [n]) for n in order[:2]}
    settings["all"] = hidden(pipe, word_tokens, every_block(pipe))
    return rows(pipe, of_all_seeds(worded, count, MIXED), settings)


def controls(pipe, count: int, order: list[int]) -> dict[str, Row]:
    """As many other tokens hidden, in two blocks and in all; and everything but the word"""
    settings = {str(n): hidden(pipe, other_tokens, [n]) for n in order[:2]}
    settings["all"] = hidden(pipe, other_tokens, every_block(pipe))
    settings["all but the word, first"] = hidden(pipe, all_but_word, order[:1])
    settings["all but the word, all"] = hidden(pipe, all_but_word, every_block(pipe))
    return rows(pipe, of_all_seeds(worded, count, LATIN), settings)


def heads(pipe, count: int, order: list[int]) -> dict[str, Row]:
    """The word hidden in one head of the first block of the order"""
    each = range(pipe.transformer.config.num_attention_heads)
    settings = {str(head): hidden(pipe, word_tokens, order[:1], [head]) for head in each}
    return rows(pipe, of_all_seeds(worded, count, LATIN), settings)


def together(pipe, count: int, order: list[int]) -> dict[str, Row]:
    """The word hidden in the first two or three blocks of the order; in all but these"""
    settings = {}
    for many in (1, 2, 3):
        if many > 1:  # the first alone is in the part of the blocks
            settings[f"only {many}"] = hidden(pipe, word_tokens, order[:many])
        settings[f"all but {many}"] = hidden(pipe, word_tokens, order[many:])
    return rows(pipe, of_all_seeds(worded, count, LATIN), settings)


def signs(pipe, count: int, kind: str) -> dict[str, Row]:
    """One sign of the word hidden in all blocks"""
    length = KINDS[kind][2]
    settings = {str(n): hidden(pipe, sign_tokens(n), every_block(pipe)) for n in range(length)}
    return rows(pipe, of_all_seeds(worded, count, kind), settings)


def patches(pipe, count: int) -> dict[str, Row]:
    """Another word put in before a block; "same": the same word from another noise"""
    trials = of_all_seeds(worded, count, LATIN)
    others = [other_word(trial) for trial in trials]
    results = {}
    for block in tqdm(every_block(pipe)[::2], unit="block", leave=False):
        pictures = paint_patched(pipe, list(zip(trials, others)), block)
        row = counted(scores_of(trials, pictures), WORDS)
        other = counted(scores_of(others, pictures), ("word",))
        results[str(block)] = row | {f"other {key}": other[key] for key in ("word", "signs")}
    again = [(trial, other_noise(trial)) for trial in trials]
    results["same"] = counted(scores_of(trials, paint_patched(pipe, again, 0)), WORDS)
    return results


def attribute(pipe, count: int, name: str) -> dict[str, Row]:
    """The tokens of an attribute hidden in one block, in all, and in none"""
    captions, tokens, key = ATTRIBUTES[name]
    settings = {"none": untouched} | each_block(pipe, tokens)
    if name == "colour":
        settings["all, with the shape's name"] = hidden(pipe, COLOUR_AND_SHAPE, every_block(pipe))
    return rows(pipe, of_all_seeds(captions, count), settings, (key,))


def when(pipe, count: int, order: list[int]) -> dict[str, Row]:
    """The word hidden in two blocks in half of the steps, and in all blocks in a third"""
    half, third = STEPS // 2, STEPS // 3
    settings = {}
    for start in (0, half):
        for n in order[:2]:
            steps = range(start, start + half)
            settings[f"{n} from {start}"] = hidden(pipe, word_tokens, [n], steps=steps)
    for start in range(0, STEPS, third):
        steps = range(start, start + third)
        settings[f"all from {start}"] = hidden(pipe, word_tokens, every_block(pipe), steps=steps)
    return rows(pipe, of_all_seeds(worded, count, LATIN), settings)


# -- the measurement ------------------------------------------------------------------------------


def measure(pipe, count: int, file: Path) -> dict:
    """All parts, in their order, to the record in `file`. Returns it."""
    terms = terms_of(pipe, count)
    progress = Progress(file, terms)
    for kind in (LATIN, CHINESE):
        progress.measure(f"blocks, {kind}", blocks, pipe, count, kind)
    order = ranked(progress.results[f"blocks, {LATIN}"])
    progress.measure("together", together, pipe, count, order)
    half = max(1, count // 2)  # captions of a seed in the parts that only have to confirm these
    for part in (heads, controls, translated, when):
        progress.measure(part.__name__, part, pipe, half, order)
    for kind in (LATIN, CHINESE):
        progress.measure(f"signs, {kind}", signs, pipe, half, kind)
    progress.measure("patches", patches, pipe, half)
    for name in ATTRIBUTES:
        progress.measure(f"attribute, {name}", attribute, pipe, half, name)
    progress.measure("lora", spelling_lora.measure, pipe, order, spelling_lora.RECIPE)
    record = progress.results | {"steps": STEPS, "seeds": list(SEEDS), "ranked": order}
    write_record(record, file)
    progress.file.unlink()
    return record


def table(record: dict) -> str:
    """The blocks' part as lines of text: words right in per cent, with their intervals"""
    lines = []
    for kind in (LATIN, CHINESE):
        lines.append(f"{kind}: words right where the word is hidden in")
        for name, row in record[f"blocks, {kind}"].items():
            word = row["word"]
            bounds = f"{100 * word['low']:.0f} to {100 * word['high']:.0f}"
            lines.append(f"  {name:>4} {100 * word['share']:4.0f}   {bounds}")
    return "\n".join(lines)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.causal_tracing")
    add = parser.add_argument
    add("--weights", type=Path, default=POCKET, metavar="FOLDER")
    add("--captions", type=int, default=8, help="of each seed, in each setting; default 8")
    add("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    if options.captions < 1:
        parser.error(f"--captions must be at least 1, got {options.captions}")
    print(table(measure(QwenImage.from_pretrained(options.weights), options.captions, options.to)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
