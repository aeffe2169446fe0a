"""Diffusion-DPO on the pocket model: the exact reader says which of two pictures is better.

    python -m qwenimage_ref.evaluate.preferred [--beta X]     half an hour of a core; resumes

Captions like those of the base's training are painted twice, from two noises. Where the reader
gives the two different marks they are a pair. An adapter is trained on the pairs, and painted
against the base on held-out captions, each from the same noise; all this with three seeds. The
record goes to data/measurements/preferred.json, for another beta than 2000 to preferred_BETA.json.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..adapt import lora
from ..pocket.kept import Chunks
from ..posters.read import score
from ..posters.reward import mark
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from ..sampler import sigmas
from ..train.loop import Recipe
from ..train.preference import Comparison, Preference, train
from . import hard_captions, seed_by_seed
from .hard_captions import SETTINGS, answers, compared, held_out, wins
from .seed_by_seed import Options, log_of

RECORD = MEASUREMENTS / "preferred.json"
POSTERS = 512  # captions that are painted twice
CHUNK = 8  # captions that are painted and stored together
STEPS = 6  # sampling steps of the pairs, without guidance, so that many come out wrong
RECIPE = Recipe(steps=120, batch=16, lr=3e-4, warmup=10, decay_from=0.5, ema=0.95)
BETA = 2000.0  # with flow_grpo's 100 errors more than triple, and words are lost
CHOICES = Preference(rank=16, beta=BETA)


def pairs(pipe, folder: Path, posters: int, quiet: bool = False) -> list[Comparison]:
    """Winner and loser of each caption whose two pictures differ in their marks"""
    trials = hard_captions.training(posters)
    kept = Chunks(folder, lambda i: _painted(pipe, trials[i * CHUNK : (i + 1) * CHUNK]))
    comparisons = []
    for i in tqdm(range(-(-posters // CHUNK)), unit="chunk", desc="pairs", disable=quiet):
        chunk = kept[i]
        for trial, latents, marks in zip(trials[i * CHUNK :], chunk["latents"], chunk["marks"]):
            if marks[0] != marks[1]:
                first = int(marks[1] > marks[0])
                txt = hard_captions.text_states(pipe, trial.prompt)
                comparisons.append(Comparison(latents[first], latents[1 - first], txt))
    return comparisons


@torch.no_grad()
def _painted(pipe, trials) -> dict[str, torch.Tensor]:
    """Trials -> latents (B, 2, C, h, w) of two pictures each, and their marks (B, 2)"""
    twice = [trial for trial in trials for _ in range(2)]
    noise = pipe.noise(len(twice), 128, 128, seed=[2 * t.seed + i % 2 for i, t in enumerate(twice)])
    (branch,) = pipe.encode_prompts([[trial.prompt for trial in twice]])
    latents = pipe.denoise(noise, sigmas(STEPS, 64, pipe.scheduler), branch)
    pictures = pipe.to_pictures(latents)
    marks = [mark(score(trial.scene, picture)) for trial, picture in zip(twice, pictures)]
    return {"latents": latents.unflatten(0, (-1, 2)), "marks": torch.tensor(marks).view(-1, 2)}


def survey(pipe, options: Options, terms: dict, file: Path) -> dict:
    """Paint the pairs, train, measure and write the record to `file`. Returns it."""
    weights, choices = terms["weights"].replace(" ", "-"), replace(CHOICES, beta=options.beta)
    comparisons = pairs(pipe, options.runs / weights / "pairs", POSTERS)
    trials = held_out(options.captions)
    progress = seed_by_seed.with_before(pipe, options, terms, file, trials, answers)
    recipe = replace(RECIPE, steps=options.steps, seed=options.seed)
    folder = options.runs / weights / f"{options.beta:g}-{options.seed}"
    run = train(pipe.transformer, comparisons, recipe, choices, folder, terms["weights"])
    run.use_average()
    for name, setting in SETTINGS.items():
        progress.measure(f"after, {name}", answers, pipe, trials, *setting)
    record = terms | {
        "captions painted twice": POSTERS,
        "pairs": len(comparisons),
        "batch": RECIPE.batch,
        "log": log_of(run.log_file),
        "results": {name: _result(progress.results, name) for name in SETTINGS},
    }
    write_record(record, file)
    progress.file.unlink()
    lora.adapters(pipe.transformer)[0].remove()
    return record


def _result(results: dict, name: str) -> dict:
    before, after = (results[f"{when}, {name}"] for when in ("before", "after"))
    return {"rows": compared(before, after), "wins": wins(before["marks"], after["marks"])}


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    command = seed_by_seed.command
    beta = seed_by_seed.Beta(BETA, "how sharply a lead counts")
    return command("preferred", RECORD, RECIPE.steps, survey, arguments, beta)


if __name__ == "__main__":
    sys.exit(main())
