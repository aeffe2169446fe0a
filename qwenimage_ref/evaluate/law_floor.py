"""What no network can do away with: the loss that remains because a caption leaves much open.

A caption does not say where exactly a shape stands. The best velocity at x = (1 - sigma) x0 +
sigma noise is (x - E[x0 | x, c]) / sigma, and its loss is E[Var(x0 | x, c)] / sigma^2. The
expectation is taken over posters of one caption that differ in nothing but their seed.
"""

import torch

from ..pictures import to_input
from ..pipeline import QwenImage
from ..pocket.curriculum import Phase
from ..posters.draw import draw

FIRST_SEED = 72_000_000


@torch.no_grad()
def floor(pipe: QwenImage, lesson: Phase, levels, captions: int, drawn: int) -> dict:
    """Between which numbers the least possible loss lies at each noise level, and at pure noise

    captions: so many of the lesson's are taken; drawn: posters of each.
    -> {"low": one for each level, "high": likewise, "noise": the mean of Var(x0 | c)}. For
    `low` a picture may be of its own poster, for `high` only of the others: with finitely many
    posters the first is too small and the second too large.
    """
    low, high = torch.zeros(len(levels)), torch.zeros(len(levels))
    spread = 0.0
    for number in range(captions):
        clean = posters(pipe, lesson, number, drawn).flatten(1)
        spread += clean.var(0).mean().item() / captions
        rng = torch.Generator().manual_seed(FIRST_SEED + number)
        noise = torch.randn(clean.shape, generator=rng)
        for i, level in enumerate(levels):
            each = remaining(clean, noise, level)
            low[i] += each[0] / captions
            high[i] += each[1] / captions
    rounded = {"low": low, "high": high}
    return {k: [round(x, 5) for x in v.tolist()] for k, v in rounded.items()} | {
        "noise": round(spread, 5), "captions": captions, "drawn": drawn,
    }  # fmt: skip


def posters(pipe: QwenImage, lesson: Phase, number: int, count: int) -> torch.Tensor:
    """Normalised latents (N, 16, h, w) of posters of one scene that differ in their seeds"""
    scene = lesson.scene(number)
    pictures = [draw(scene, FIRST_SEED + 1000 * number + i) for i in range(count)]
    return pipe.vae.normalize(pipe.vae.encode(to_input(pictures))[0])


def remaining(clean: torch.Tensor, noise: torch.Tensor, level: float) -> tuple[float, float]:
    """N posters (N, D) and noise for each -> the best velocity's loss, with and without itself

    The posterior of x0 gives each poster k the weight exp(-|x - (1 - sigma) x_k|^2 / 2 sigma^2).
    """
    noisy = (1 - level) * clean + level * noise
    logits = -torch.cdist(noisy, (1 - level) * clean).square() / (2 * level**2)
    others = logits.masked_fill(torch.eye(len(clean), dtype=torch.bool), -torch.inf)
    low, high = (
        ((clean - each.softmax(1) @ clean) / level).square().mean().item()
        for each in (logits, others)
    )
    return low, high
