"""Chapter 12: train your own."""

import torch

from .common import exercise, need

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
def ex_12_sigma(draw_sigma) -> None:
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
    print("right: three ways to choose what the model practises")


def _shares(draw_sigma, kind: str) -> tuple[float, ...]:
    """The shares of the levels below 1/4, 1/2 and 3/4."""
    sigma, again = (draw_sigma(kind, 20_000, torch.Generator().manual_seed(7)) for _ in range(2))
    need(
        isinstance(sigma, torch.Tensor) and sigma.shape == (20_000,),
        f"{kind}: give a tensor of `count` noise levels",
    )
    need(
        torch.equal(sigma, again),
        f"{kind}: the same generator gave other levels; draw with the generator you are handed",
    )
    need(
        bool(((sigma >= 0) & (sigma <= 1)).all()),
        f"{kind}: some levels lie outside of 0 to 1; a normal number has to be squashed first",
    )
    return tuple((sigma < at).float().mean().item() for at in (0.25, 0.5, 0.75))


def _alike(shares, others) -> bool:
    return all(abs(a - b) <= 0.02 for a, b in zip(shares, others))
