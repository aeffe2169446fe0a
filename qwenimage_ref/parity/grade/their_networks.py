"""What diffusers and transformers compute of small networks and rotations, for `make grade`.

Each function yields, in the order in which its namesake in ours.py yields values, a comparison that
waits for that value.
"""

import functools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_qwenimage import (
    QwenEmbedRope,
    apply_rotary_emb_qwen,
)

from ...mmdit import MMDiT
from ...text_encoder import TextEncoder
from ...vae import VAE
from ..record import record
from ..reference import (
    copy_weights,
    random_weights,
    reference_mmdit,
    reference_text_encoder,
    reference_vae,
    run,
)
from ..tolerances import within
from ..trace import compare, difference
from . import pieces
from .cases import AXES, GRIDS, NETWORKS, POSITIONS, SMALL_VAE, VISION, noise
from .findings import CLOSE, EXACT, GRADED, Comparison, tensor

CLASSES = {"mmdit": MMDiT, "text_encoder": TextEncoder, "vae": VAE}


@functools.cache
def weights(name: str) -> dict[str, torch.Tensor]:
    """Random weights of a network of NETWORKS, by parameter name."""
    return _network(name).state_dict()


def _network(name: str):
    case = NETWORKS[name]
    with torch.device("meta"):
        network = CLASSES[case.kind](case.config)
    random_weights(network, seed=1)
    for key, parameter in network.named_parameters():
        if any(word in key for word in case.quiet):
            parameter.data.mul_(0.01)
    return network


def piece(name: str, pocket: Path) -> Iterator[Comparison]:
    kind = name.partition(":")[0].replace(" ", "_")
    for number, theirs in enumerate(pieces.values(name)):
        yield tensor(f"value {number}", theirs, within(kind))


def network(name: str, pocket: Path) -> Iterator[Comparison]:
    case, ours = NETWORKS[name], _network(name)
    if case.kind == "text_encoder":
        theirs = reference_text_encoder(case.config, VISION)
        copy_weights(ours, theirs, unused=("visual.", "lm_head."))
    else:
        twin = reference_mmdit if case.kind == "mmdit" else reference_vae
        theirs = copy_weights(ours, twin(case.config))
    yield partial(_traced, case, record(theirs, run, case.inputs))


def _traced(case, theirs: dict, ours) -> str:
    bound, mask = within(case.kind), case.inputs.get("mask")
    outputs = [side.get("output") for side in (ours, theirs)]
    shapes = [[tuple(one.shape) for one in side] for side in outputs]
    if shapes[0] != shapes[1]:
        return f"parts from the reference at output: shapes {shapes[0]}, not {shapes[1]}"
    gaps = [difference(a, b, mask)[1] for a, b in zip(*outputs)]
    if all(gap <= bound for gap in gaps):
        return CLOSE if any(gaps) else EXACT
    first = compare(ours, theirs, bound, mask).first
    size = f"{first.relative:.1e} of its largest value (tolerance {bound:.0e})"
    return f"parts from the reference at {first.name}: {size}"


def statistics(_, pocket: Path) -> Iterator[Comparison]:
    z = noise(2, 5, 3, 4)
    mean, std = (
        torch.tensor(numbers).view(1, 5, 1, 1)
        for numbers in (SMALL_VAE.latents_mean, SMALL_VAE.latents_std)
    )
    # the formulas of diffusers' pipelines
    yield tensor("latents_mean and latents_std, normalize", (z - mean) / std, 1e-6)
    yield tensor("latents_mean and latents_std, denormalize", z / (1 / std) + mean, 1e-6)


@functools.cache
def _rope() -> QwenEmbedRope:
    return QwenEmbedRope(theta=10000, axes_dim=list(AXES), scale_rope=True)


def rotations(_, pocket: Path) -> Iterator[Comparison]:
    rope, at = _rope(), torch.tensor(POSITIONS)
    angles = torch.cat([rope.neg_freqs[at[at < 0]], rope.pos_freqs[at[at >= 0]]])
    at_most = GRADED * max(map(abs, POSITIONS))  # an angle is a position times a frequency
    what = f"the angles of {', '.join(map(str, POSITIONS))}"
    yield tensor(what, angles, max(within("rope"), at_most), False)


def positions(_, pocket: Path) -> Iterator[Comparison]:
    for grids in GRIDS:
        streams = _rope()([grids], max_txt_seq_len=11, device="cpu")
        at_most = GRADED * 20  # no position of these grids and words is farther from 0
        for stream, theirs in zip(("picture", "text"), streams):
            what = f"the {stream} of grids {grids}"
            yield tensor(what, theirs, max(within("rope"), at_most), False)


def rotation() -> torch.Tensor:
    return _rope().pos_freqs[3:8]


def rotate(_, pocket: Path) -> Iterator[Comparison]:
    turned = apply_rotary_emb_qwen(noise(2, 5, 3, sum(AXES)), rotation(), use_real=False)
    yield tensor("the turned pairs", turned, within("mmdit"))
