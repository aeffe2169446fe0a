"""What is Edit-2511's time zero worth? Editors trained without and with it, run both ways each.

    python -m qwenimage_ref.evaluate.edit_time_zero WITHOUT WITH     10 minutes at 64; resumes

The folders hold two editors whose trainings differ in `zero_cond_t` alone. Each is shown held-out
instructions and the wanted posters under noise of several levels; its velocity says which poster
it believes to be under the noise, and the colours of that poster are compared with the wanted
ones, where the picture is to stay as it is and where it is to change. Then it paints the same
instructions from noise. A single pair of trainings is a single observation.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from ..conditions import Branch
from ..limits import TOKEN
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.edits import Edit
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from ..sampler import model_time, pack, unpack
from ..tasks.edit import encoded_copies, picture_tokens
from .edit_paths import text_states
from .editing import answers, instructions
from .intervals import interval, mean_interval, paired
from .survey import LEAST, Progress, terms_of

RECORD = MEASUREMENTS / "edit_time_zero.json"
LEVELS = (0.2, 0.4, 0.6, 0.8, 1.0)  # levels of noise
ARMS = {  # how it was trained, and how it is run -> its weights' place among the two, its flag
    "trained without, run without": (0, False),
    "trained with, run with": (1, True),
    "trained with, run without": (1, False),
    "trained without, run with": (0, True),
}


def branch(pipe: QwenImage, asked: Edit) -> Branch:
    """What the network is told beside the noisy latents: the instruction and the pictures"""
    given = [Image.fromarray(each) for each in asked.pictures]
    copies = encoded_copies(pipe, given)
    img = torch.cat([picture_tokens(pipe, copy) for copy in copies], dim=1)
    grids = tuple((1, copy.height // TOKEN, copy.width // TOKEN) for copy in copies)
    (txt,) = text_states(pipe, [asked.prompt], given)
    return Branch(txt, img=img, grids=grids)


@torch.no_grad()
def under_noise(pipe: QwenImage, asked: Edit, seed: int, levels=LEVELS):
    """Yields for each level of noise the noisy latents of the wanted poster, (1, S, 64), the
    network's velocity there, and the true one
    """
    own = branch(pipe, asked)
    latents = pipe.vae.normalize(pipe.vae.encode(to_input([asked.wanted]))[0])
    noise = pipe.noise(1, *asked.wanted.shape[:2], seed)
    grid = (1, latents.shape[2] // 2, latents.shape[3] // 2)
    for level in levels:
        x = pack((1 - level) * latents + level * noise)
        time = model_time(torch.tensor(level), x.dtype).expand(1)
        (velocity,) = pipe.transformer.many([own.call(x, time, grid)])
        yield x, velocity, pack(noise - latents)


@torch.no_grad()
def believed(pipe: QwenImage, asked: Edit, seed: int) -> list[np.ndarray]:
    """-> for each of LEVELS the poster (H, W, 3) that the network believes to be under the noise"""
    rows, cols = (side // TOKEN for side in asked.wanted.shape[:2])
    posters = []
    for level, (x, velocity, _) in zip(LEVELS, under_noise(pipe, asked, seed)):
        posters += pipe.to_pictures(unpack(x - level * velocity, rows, cols))
    return [np.asarray(poster) for poster in posters]


def colour_errors(pipe: QwenImage, wanted: list[Edit]) -> dict[str, list[list[float]]]:
    """-> "stays" and "changes": for each instruction and level the mean error, of 255"""
    errors: dict[str, list[list[float]]] = {"stays": [], "changes": []}
    for i, asked in enumerate(tqdm(wanted, unit="instruction")):
        changes = (asked.pictures[0] != asked.wanted).any(axis=2)
        posters = believed(pipe, asked, i)
        for name, pixels in (("stays", ~changes), ("changes", changes)):
            off = [np.abs(poster.astype(float) - asked.wanted)[pixels].mean() for poster in posters]
            errors[name].append([round(each, 3) for each in off])
    return errors


def one_arm(pipe: QwenImage, wanted: list[Edit], zero_cond_t: bool) -> dict:
    """-> the colour errors of an editor that is run with or without time zero, and its answers"""
    own = pipe.transformer.config
    pipe.transformer.config = replace(own, zero_cond_t=zero_cond_t)
    try:
        return {"errors": colour_errors(pipe, wanted), "answers": answers(pipe, wanted)}
    finally:
        pipe.transformer.config = own


def row(arm: dict, beside: dict) -> dict:
    """One arm's means and shares with their intervals, and its differences from another arm"""
    errors = {name: np.array(each) for name, each in arm["errors"].items()}
    less = {name: each - np.array(beside["errors"][name]) for name, each in errors.items()}
    right, others = ([bit == "1" for bit in each["answers"]["both"]] for each in (arm, beside))
    bits = arm["answers"].items()
    return {
        "colour error": {name: list(map(mean_interval, e.T)) for name, e in errors.items()},
        "minus the first": {name: mean_interval(each.mean(1)) for name, each in less.items()},
        "shares": {name: interval(each.count("1"), len(each)) for name, each in bits},
        "both, minus the first": paired(right, others),
    }


def measure(folders: list[Path], count: int, record: Path) -> dict:
    """Measure the four arms and write the record. Returns it.

    folders: of the editor trained without time zero, and of the one trained with it.
    """
    pipes = list(map(QwenImage.from_pretrained, folders))
    if [pipe.transformer.config.zero_cond_t for pipe in pipes] != [False, True]:
        names = " and ".join(map(str, folders))
        raise ValueError(f"{names} must be editors without and with zero_cond_t, in this order")
    wanted = instructions(count)
    terms = terms_of(pipes[0], count) | {"with": terms_of(pipes[1], count)["weights"]}
    progress = Progress(record, terms)
    for name, (place, flag) in ARMS.items():
        progress.measure(name, one_arm, pipes[place], wanted, flag)
    arms = {name: progress.results[name] for name in ARMS}
    first = next(iter(arms.values()))
    rows = {name: row(arm, first) for name, arm in arms.items()}
    record_of = terms | {"observations": 1, "levels": LEVELS, "rows": rows}
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.edit_time_zero")
    help = "official folders of the editors trained without and with zero_cond_t"
    parser.add_argument("folders", type=Path, nargs=2, metavar="FOLDER", help=help)
    parser.add_argument("--count", type=int, default=64, metavar="N", help="instructions")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON to write")
    options = parser.parse_args(arguments)
    if options.count < LEAST:
        print(f"--count must be at least {LEAST}, got {options.count}", file=sys.stderr)
        return 2
    for name, each in measure(options.folders, options.count, options.to)["rows"].items():
        print(name, *(round(e["mean"], 2) for e in each["colour error"]["stays"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
