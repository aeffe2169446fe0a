"""Chapter 31: reward."""

import torch

from ..answers import EX_31_ADVANTAGES, EX_31_CLIP
from .common import demand_shape, exercise, near, need, need_none, need_same
from .noisy_sampler import ex_31_kl, ex_31_logp, ex_31_step  # noqa: F401

# --- advantages

_GROUPS = (
    torch.tensor([0.9, 0.1, 0.5, 0.25, 0.9, 0.1]),
    torch.tensor([-3.0, 7.0, 40.0]),
)


@exercise
def ex_31_advantages(advantages) -> str:
    """advantages(rewards) -> (G,)"""
    for rewards in _GROUPS:
        given = advantages(rewards)
        demand_shape(given, tuple(rewards.shape), "as long as the group")
        need_none(given, _ADVANTAGE_MISTAKES, _close, rewards)
    equal = advantages(torch.ones(4))
    need(
        bool(torch.isfinite(equal).all()),
        "where all rewards are equal you divide 0 by 0; add 0.0001 to what you divide by",
    )
    need(bool((equal == 0).all()), "where all rewards are equal none is better: 0 for each")
    for rewards in _GROUPS:
        need_same(
            advantages, EX_31_ADVANTAGES, _close, (rewards,),
            "these are not the distances from the mean in deviations; try the rewards 1 and 0",
        )  # fmt: skip
    alone = torch.zeros(100)
    alone[3] = 1.0
    need(
        advantages(alone)[3].item() == 5.0,
        "one success among a hundred lies ten deviations above the mean; bound it at 5",
    )
    need(advantages(-alone)[3].item() == -5.0, "bound it below, too, at -5")
    return "deviations above the mean of the group, bounded"


def _close(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-4, rtol=1e-5)


_ADVANTAGE_MISTAKES = [
    (
        lambda r: r - r.mean(),
        "the distance from the mean, but not yet in deviations of the group",
    ),
    (lambda r: r / (r.std(correction=0) + 1e-4), "the mean of the group is not taken off"),
    (
        lambda r: (r - r.mean()) / (r.std() + 1e-4),
        "that deviation divides by one less than the group; divide by the group",
    ),
    (lambda r: (r - r.mean()) / (r.var(correction=0) + 1e-4), "you divide by the variance"),
    (lambda r: (r - r.min()) / (r.max() - r.min()), "scaled from 0 to 1, nothing is below 0"),
    (lambda r: r, "the rewards themselves: everything that is rewarded at all would grow"),
    (lambda r: -EX_31_ADVANTAGES(r), "the sign: the best of a group has the largest advantage"),
]

# --- the clipped loss


def _clip_case() -> tuple:
    log_p = torch.tensor([0.3, -0.3, 0.3, -0.3, 0.02])
    return log_p, torch.zeros(5), torch.tensor([1.0, 2.0, -1.0, -0.5, 1.5]), 0.1


@exercise
def ex_31_clip(clipped_loss) -> str:
    """clipped_loss(log_p, old_log_p, advantage, clip) -> ()"""
    log_p, old, advantage, clip = _clip_case()
    for shift in (0.0, 0.1):
        case = log_p, old + shift, advantage, clip
        given = clipped_loss(*case)
        demand_shape(given, (), "of shape (): the mean over the group")
        need_none(given, _CLIP_MISTAKES, near, *case)
        need_same(
            clipped_loss, EX_31_CLIP, near, case,
            "that is not the loss; work out one picture with ratio 1.35 and advantage 1",
        )  # fmt: skip
    for other in (0.3, 0.001):
        need_same(
            clipped_loss, EX_31_CLIP, near, (log_p, old, advantage, other),
            "the bounds follow clip; yours do not",
        )  # fmt: skip
    traced = log_p.clone().requires_grad_(True)
    value = clipped_loss(traced, old, advantage, clip)
    need(value.requires_grad, "no gradient flows back to the log-probabilities")
    (gradient,) = torch.autograd.grad(value, traced)
    need(
        [bool(g) for g in gradient] == [False, True, True, False, True],
        "the gradient must end where a ratio has left its bounds in its own favour, and nowhere "
        "else",
    )
    return "no gain beyond the bounds, and no shelter from loss"


def _ratio(log_p, old):
    return (log_p - old).exp()


def _clipped(log_p, old, advantage, clip, choose=torch.minimum):
    ratio = _ratio(log_p, old)
    return choose(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


_CLIP_MISTAKES = [
    (
        lambda *case: _clipped(*case).mean(),
        "the sign: an optimiser makes the loss small, and the gain has to become large",
    ),
    (
        lambda *case: -_clipped(*case, torch.maximum).mean(),
        "of the two you take the larger, which gains beyond the bounds; be pessimistic",
    ),
    (
        lambda log_p, old, advantage, clip: -(_ratio(log_p, old) * advantage).mean(),
        "the ratio is not bounded at all",
    ),
    (
        lambda log_p, old, advantage, clip: (
            -(_ratio(log_p, old).clamp(1 - clip, 1 + clip) * advantage).mean()
        ),
        "the bounded ratio alone also ends the gradient of pictures that have become worse",
    ),
    (
        lambda log_p, old, advantage, clip: -_clipped(old, log_p, advantage, clip).mean(),
        "the ratio is turned over: the new probability stands above",
    ),
    (lambda *case: -_clipped(*case).sum(), "added up over the group; take the mean"),
    (
        lambda log_p, old, advantage, clip: (
            -torch.minimum(
                (log_p - old) * advantage, (log_p - old).clamp(1 - clip, 1 + clip) * advantage
            ).mean()
        ),
        "a difference of logarithms is not a ratio yet",
    ),
    (
        lambda log_p, old, advantage, clip: (
            -torch.minimum(
                _ratio(log_p, old) * advantage, _ratio(log_p, old).clamp(-clip, clip) * advantage
            ).mean()
        ),
        "the bounds lie around 1, not around 0",
    ),
]
