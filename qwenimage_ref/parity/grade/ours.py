"""What the graded package computes of each part; run in a process of its own.

Nothing is compared here, and neither diffusers nor transformers is imported: the process in which
a learner's code runs holds no right answer that it could give instead of its own.
"""

import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ... import pipeline, rope, sampler
from ...mmdit import MMDiT
from ...text_encoder import TextEncoder
from ...tokenizer import Tokenizer
from ...vae import VAE
from ..record import record, run_ours
from . import pieces
from .cases import (
    AXES,
    DTYPES,
    GRIDS,
    LONG_TEXTS,
    NETWORKS,
    POSITIONS,
    PROMPTS,
    SCHEDULERS,
    SCHEDULES,
    SEED,
    SEEDS,
    SIZE,
    SMALL_VAE,
    STEPS,
    TEXTS,
    noise,
)
from .parts import PARTS

CLASSES = {"mmdit": MMDiT, "text_encoder": TextEncoder, "vae": VAE}


def answers(package: Path, pocket: Path, given: dict, names: list[str]) -> Iterator[dict]:
    """For each part {"values": what it computed, "stopped": where an error ended it, or ""}.

    package: where the graded code lies. pocket: weights in the official layout. given: inputs that
    only the reference can compute, by part.
    """
    for name in names:
        values, stopped = [], ""
        try:
            with torch.no_grad():
                for value in globals()[PARTS[name]](name, pocket, given.get(name)):
                    values.append(_plain(value))
        except (Exception, SystemExit) as error:
            stopped = _place_of(package, error)
        yield {"values": values, "stopped": stopped}


def _plain(value):
    """Tensors, lists, dicts and simple values only, so the file of answers needs no pickled code"""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return f"a {type(value).__name__}"


def _place_of(package: Path, error: BaseException) -> str:
    """Which function is not written, or which line stopped."""
    frames = [
        (Path(frame.f_code.co_filename), frame.f_code.co_qualname, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [one for one in frames if one[0].parent == package]
    if isinstance(error, NotImplementedError) and own and own[-1] == frames[-1]:
        return f"not yet written: {own[-1][0].stem}.{own[-1][1]}"
    place = f" at {own[-1][0].name}, line {own[-1][2]}, {own[-1][1]}" if own else ""
    words = " ".join(str(error).split())
    return f"stops{place}: {type(error).__name__}: {words[:160]}"


# ---- functions, networks and rotations


def piece(name: str, pocket: Path, given) -> Iterator[torch.Tensor]:
    yield from pieces.values(name)


def network(name: str, pocket: Path, weights: dict) -> Iterator[dict]:
    case = NETWORKS[name]
    with torch.device("meta"):
        built = CLASSES[case.kind](case.config)
    built.load_state_dict(weights, assign=True)
    yield record(built.eval(), run_ours, case.inputs)


def statistics(_, pocket: Path, given) -> Iterator:
    vae, z = VAE(SMALL_VAE), noise(2, 5, 3, 4)
    yield vae.normalize(z)
    yield vae.denormalize(z)


def rotations(_, pocket: Path, given) -> Iterator:
    yield rope.rotations(torch.tensor(POSITIONS).unsqueeze(1).repeat(1, 3), AXES)


def positions(_, pocket: Path, given) -> Iterator:
    for grids in GRIDS:
        for of_stream in rope.positions(grids, 11):
            yield rope.rotations(of_stream, AXES)


def rotate(_, pocket: Path, given) -> Iterator:
    yield rope.rotate(noise(2, 5, 3, sum(AXES)), given)


# ---- words


def ids(_, pocket: Path, given) -> Iterator:
    yield from map(Tokenizer.load(pocket / "tokenizer").encode, TEXTS)


def texts(_, pocket: Path, given) -> Iterator:
    yield from map(Tokenizer.load(pocket / "tokenizer").decode, given)


def prompts(_, pocket: Path, given) -> Iterator:
    tokenizer = Tokenizer.load(pocket / "tokenizer")
    yield tokenizer.prefix_length
    yield from map(tokenizer.encode_prompt, LONG_TEXTS)


# ---- the sampler


def packing(_, pocket: Path, given) -> Iterator:
    yield sampler.pack(noise(2, 5, 6, 8))
    yield sampler.unpack(given, 3, 4)


def levels(_, pocket: Path, given) -> Iterator:
    for config in SCHEDULERS:
        for steps, tokens in SCHEDULES:
            yield sampler.sigmas(steps, tokens, config)


def times(_, pocket: Path, given) -> Iterator:
    yield from map(partial(sampler.model_time, given), DTYPES)


def euler(_, pocket: Path, given) -> Iterator:
    for dtype in DTYPES:
        latents = noise(1, 15, 20).to(dtype)
        for i in range(len(given) - 1):
            velocity = noise(1, 15, 20, seed=i).to(dtype)
            latents = sampler.euler_step(latents, velocity, given[i], given[i + 1])
            yield latents


def guidance(_, pocket: Path, given) -> Iterator:
    yield sampler.guide(noise(2, 15, 20), noise(2, 15, 20, seed=1), 4.0)


# ---- the whole


def states(_, pocket: Path, given) -> Iterator:
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    for prompts in (PROMPTS, PROMPTS[:1]):
        yield from pipe.encode_prompt(list(prompts))


def start(_, pocket: Path, given) -> Iterator:
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    for seed in SEEDS:
        yield pipe.noise(2, SIZE["height"], SIZE["width"], seed)


def picture(_, pocket: Path, given) -> Iterator:
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    [painted] = pipe(PROMPTS[0], " ", num_inference_steps=STEPS, seed=SEED, **SIZE)
    yield torch.from_numpy(np.array(painted.convert("RGB")))
