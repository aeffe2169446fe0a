"""Every part of the model path beside the reference, whoever wrote it: the rows of `make grade`.

Small networks with random weights say where numbers first part; the pocket weights join the parts.
A part that is not written, or that stops, leaves the others to be compared.
"""

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import diffusers
import torch

from .networks import (
    mmdit,
    noise,
    positions,
    rotate,
    rotations,
    statistics,
    text_encoder,
    vae,
    whole,
)
from .pipeline import (
    euler,
    guidance,
    ids,
    levels,
    packing,
    picture,
    prompts,
    start,
    states,
    texts,
    times,
)


@dataclass(frozen=True)
class Row:
    """What became of one part."""

    part: str
    equal: bool
    finding: str

    def __str__(self):
        return f"{self.part:44} {self.finding}"


def rows(package: Path, pocket: Path, only: str = "") -> Iterator[Row]:
    """A row for each part of the model path, in the order of the model's own data flow.

    package: where the compared code lies. pocket: weights in the official layout. only: how the
    names of the parts begin. Raises ValueError where none does.
    """
    parts = _parts(pocket)
    chosen = [part for part in parts if part.startswith(only)]
    if not chosen:
        names = ", ".join(dict.fromkeys(part.partition(":")[0] for part in parts))
        raise ValueError(f"no part is called {only!r}; there are {names}")
    diffusers.utils.logging.set_verbosity_error()
    for part in chosen:
        with torch.no_grad():
            yield _row(package, part, parts[part])


def _row(package: Path, part: str, compare: Callable) -> Row:
    try:
        finding = next(filter(None, compare()), "")
    except Exception as error:
        return Row(part, False, _stopped(package, error))
    return Row(part, not finding, finding or "equal")


def _stopped(package: Path, error: Exception) -> str:
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


def _parts(pocket: Path) -> dict[str, Callable]:
    """Name of a part -> what compares it: findings, empty where there is nothing to find."""
    return {
        "tokenizer: text to ids": partial(ids, pocket),
        "tokenizer: ids to text": partial(texts, pocket),
        "tokenizer: a prompt in its letter": partial(prompts, pocket),
        "text encoder: a prompt": partial(text_encoder, ids=whole(2, 9)),
        "text encoder: shorter prompts, padded": partial(text_encoder, ids=whole(3, 11), pad=True),
        "text encoder: quiet states": partial(text_encoder, ids=whole(2, 7), quiet=True),
        "vae: picture to latents": partial(vae, {"img": noise(2, 3, 24, 56).clamp(-1, 1)}),
        "vae: latents to picture": partial(vae, {"z": noise(2, 5, 3, 7)}),
        "vae: the scale of latents": statistics,
        "rope: angles of positions": rotations,
        "rope: positions of grids": positions,
        "rope: pairs turned": rotate,
        "mmdit: a picture of odd size": partial(mmdit, [(1, 5, 7)]),
        "mmdit: shorter prompts, padded": partial(mmdit, [(1, 4, 3)], pad=True),
        "mmdit: quiet streams": partial(mmdit, [(1, 4, 6)], quiet=True),
        "mmdit: condition pictures": partial(mmdit, [(1, 5, 7), (1, 3, 8)], zero_cond_t=True),
        "mmdit: layers": partial(
            mmdit, [(3, 4, 2), (1, 4, 2)], use_layer3d_rope=True, use_additional_t_cond=True
        ),
        "sampler: tokens of latents": packing,
        "sampler: noise levels": levels,
        "sampler: the time that is told": times,
        "sampler: Euler steps": euler,
        "sampler: guidance": guidance,
        "pipeline: states of prompts": partial(states, pocket),
        "pipeline: noise": partial(start, pocket),
        "pipeline: a picture from end to end": partial(picture, pocket),
    }
