"""Chapter 12: train your own."""

import torch

from .common import exercise, need
from .training import ex_12_loss, ex_12_train  # noqa: F401

# shares of the draws below 1/4, 1/2 and 3/4, to four digits
SIGMAS_12 = {
    "uniform": (0.25, 0.5, 0.75),
    "logit-normal": (0.136, 0.5, 0.864),
    "shifted": (0.0366, 0.2441, 0.6575),
}


MISTAKES = (  # a kind of draw, its shares when it is done wrong, hint
    (
        *("uniform", SIGMAS_12["logit-normal"]),
        "uniform: yours crowds in the middle; each level is as likely",
    ),
    (
        *("logit-normal", SIGMAS_12["uniform"]),
        "logit-normal: yours is flat; begin with normal numbers",
    ),
    (
        *("logit-normal", SIGMAS_12["shifted"]),
        "logit-normal: yours is shifted; that is the third kind",
    ),
    (
        *("shifted", SIGMAS_12["logit-normal"]),
        "shifted: nothing has moved; 2 has to come in somewhere",
    ),
    (
        *("shifted", tuple(1 - share for share in reversed(SIGMAS_12["shifted"]))),
        "shifted: yours moved towards the data; large pictures need more time in the noise",
    ),
    (
        *("shifted", (1 / 7, 1 / 3, 3 / 5)),
        "shifted: that shifts the flat kind; shift the one that crowds in the middle",
    ),
)


@exercise
def ex_12_sigma(draw_sigma) -> str:
    """Noise levels drawn uniformly, logit-normally, and logit-normally with a shift of 2."""
    drawn = {kind: _shares(draw_sigma, kind) for kind in SIGMAS_12}
    for kind, wrong, hint in MISTAKES:
        need(not _alike(drawn[kind], wrong), hint)
    for kind, shares in SIGMAS_12.items():
        given = ", ".join(f"{share:.2f}" for share in drawn[kind])
        wanted = ", ".join(f"{share:.2f}" for share in shares)
        need(
            _alike(drawn[kind], shares),
            f"{kind}: shares below 1/4, 1/2 and 3/4 are {given} and should be {wanted}",
        )
    return "three ways to choose what the model practises"


def _shares(draw_sigma, kind: str) -> tuple[float, ...]:
    """The shares of the levels below 1/4, 1/2 and 3/4."""
    sigma, again, other = (_drawn(draw_sigma, kind, 20_000, seed) for seed in (7, 7, 8))
    for count in (1, 13):
        _drawn(draw_sigma, kind, count, 7)
    need(
        torch.equal(sigma, again),
        f"{kind}: the same generator gave other levels; draw with the generator you are handed",
    )
    need(
        not torch.equal(sigma, other),
        f"{kind}: generators of two seeds gave the same levels; draw them, with the generator that "
        "you are handed",
    )
    need(
        len(sigma.unique()) > 0.98 * len(sigma),
        f"{kind}: only {len(sigma.unique()):,} of 20,000 levels differ; were they rounded to few "
        "bits, or drawn only once?",
    )
    need(
        not _in_order(sigma),
        f"{kind}: your levels come in order of size; a batch of training wants them mixed",
    )
    need(
        bool(((sigma >= 0) & (sigma <= 1)).all()),
        f"{kind}: some levels lie outside of 0 to 1; a normal number has to be squashed first",
    )
    return tuple((sigma < at).float().mean().item() for at in (0.25, 0.5, 0.75))


def _drawn(draw_sigma, kind: str, count: int, seed: int) -> torch.Tensor:
    sigma = draw_sigma(kind, count, torch.Generator().manual_seed(seed))
    need(
        isinstance(sigma, torch.Tensor) and sigma.shape == (count,),
        f"{kind}: give a tensor of `count` noise levels, here {count:,}",
    )
    return sigma


def _in_order(sigma: torch.Tensor) -> bool:
    return bool((sigma.diff() >= 0).all() or (sigma.diff() <= 0).all())


def _alike(shares, others) -> bool:
    return all(abs(a - b) <= 0.02 for a, b in zip(shares, others))
