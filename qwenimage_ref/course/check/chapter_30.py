"""Chapter 30: preference."""

import torch
import torch.nn.functional as F

from ..answers import EX_30_ERRORS, EX_30_LOSS, EX_30_PULL
from .common import exercise, near, need, need_none, need_same, numbers

BETA = 3.0


def _errors() -> tuple:
    """Four errors of five pairs: winner, loser, and those of the reference"""
    return tuple(numbers(5, seed=30 + n).abs() for n in range(4))


def _lead(winner, loser, ref_winner, ref_loser):
    return (winner - loser) - (ref_winner - ref_loser)


# --- the loss


@exercise
def ex_30_loss(dpo_loss) -> str:
    """dpo_loss(winner, loser, ref_winner, ref_loser, beta) -> ()"""
    four = _errors()
    given = dpo_loss(*four, BETA)
    need(
        isinstance(given, torch.Tensor) and given.shape == (),
        "give one number, as a tensor of shape (): the mean over the pairs",
    )
    need_none(given, _LOSS_MISTAKES, near, *four, BETA)
    need_same(
        dpo_loss, EX_30_LOSS, near, (*four, BETA),
        "that is not the loss; put one pair with errors 1, 2, 3 and 4 into the formula by hand",
    )  # fmt: skip
    far = torch.tensor([900.0]), torch.tensor([0.0]), torch.zeros(1), torch.zeros(1)
    need(
        bool(torch.isfinite(dpo_loss(*far, BETA))),
        "for a pair that is far behind your loss is infinite: a logarithm of what has become 0. "
        "PyTorch has one function for both at once",
    )
    for other in (0.5, 100.0):
        need_same(dpo_loss, EX_30_LOSS, near, (*four, other), "try another beta than 3")
    return "ln 2 where policy and reference agree, less where the winner gains"


def _loss(argument):
    """The loss, with another argument of the sigmoid"""
    return lambda *given: -F.logsigmoid(argument(*given)).mean()


_LOSS_MISTAKES = [
    (
        _loss(lambda w, l, rw, rl, beta: -beta * _lead(w, l, rw, rl)),
        "beta counts twice as much as it should: the formula halves it",
    ),
    (
        _loss(lambda w, l, rw, rl, beta: beta / 2 * _lead(w, l, rw, rl)),
        "your loss falls where the winner's error grows; an error is worse, the larger it is",
    ),
    (
        _loss(lambda w, l, rw, rl, beta: -beta / 2 * (w - l)),
        "the reference is left out, and without it the loss does not begin at ln 2",
    ),
    (
        _loss(lambda w, l, rw, rl, beta: -beta / 2 * (w - l + rw - rl)),
        "the reference's difference is added; what counts is how far the policy is from it",
    ),
    (
        _loss(lambda w, l, rw, rl, beta: -beta / 2 * _lead(w, l, rw, rl).mean()),
        "you average the pairs first and then take the loss; each pair has a loss of its own",
    ),
    (
        lambda *given: EX_30_LOSS(*given) * 5,
        "the losses of the pairs are added up; take their mean",
    ),
    (
        lambda *given: -EX_30_LOSS(*given),
        "the sign: a loss is minus the logarithm of a probability, and above 0",
    ),
    (
        lambda w, l, rw, rl, beta: -torch.sigmoid(-beta / 2 * _lead(w, l, rw, rl)).mean(),
        "that is the probability itself; its logarithm is missing",
    ),
    (
        _loss(lambda w, l, rw, rl, beta: -_lead(w, l, rw, rl) / 2),
        "beta has no part in it",
    ),
]

# --- errors of both


class _Velocity:
    """Stands in for the network, and keeps what it was asked"""

    def __init__(self):
        self.calls = []

    def __call__(self, x, sigma):
        self.calls.append((x, sigma))
        return 0.7 * torch.tanh(x) - sigma[:, None]


def _drawn() -> tuple:
    winner, loser, noise = (numbers(4, 3, seed=40 + n) for n in range(3))
    return winner, loser, noise, torch.tensor([0.9, 0.2, 0.5, 0.7])


@exercise
def ex_30_errors(errors_of_both) -> str:
    """errors_of_both(velocity_of, winner, loser, noise, sigma) -> (B,), (B,)"""
    drawn = _drawn()
    given = errors_of_both(_Velocity(), *drawn)
    need(
        isinstance(given, (tuple, list)) and len(given) == 2,
        "give two tensors: the winners' errors and the losers'",
    )
    need(
        all(isinstance(each, torch.Tensor) and each.shape == (4,) for each in given),
        "each of the two must be (B,), one error a pair: the mean over the numbers of a picture",
    )
    need_none(tuple(given), _ERROR_MISTAKES, _both_near, *drawn)
    need_same(
        lambda *each: errors_of_both(_Velocity(), *each),
        lambda *each: EX_30_ERRORS(_Velocity(), *each),
        _both_near, drawn,
        "these are not the errors; write down x and the target of one pair",
    )  # fmt: skip
    return "one noise, one sigma, two pictures"


def _both_near(a, b) -> bool:
    return all(map(near, a, b))


def _with(mixed, target, size=lambda off: off.pow(2).mean(1)):
    """Both errors by a rule for x and one for the target, from data, noise and level"""

    def errors(winner, loser, noise, sigma):
        level, velocity = sigma[:, None], _Velocity()
        return tuple(
            size(velocity(mixed(data, noise, level), sigma) - target(data, noise))
            for data in (winner, loser)
        )

    return errors


def _mixed(data, noise, level):
    return (1 - level) * data + level * noise


def _target(data, noise):
    return noise - data


def _target_of_the_winner(winner, loser, noise, sigma):
    level, velocity = sigma[:, None], _Velocity()
    off = velocity(_mixed(loser, noise, level), sigma) - (noise - winner)
    return EX_30_ERRORS(velocity, winner, loser, noise, sigma)[0], off.pow(2).mean(1)


_ERROR_MISTAKES = [
    (
        lambda *drawn: EX_30_ERRORS(_Velocity(), *drawn)[::-1],
        "first the winners, then the losers; yours are the other way round",
    ),
    (
        _with(_mixed, _target, lambda off: off.pow(2).sum(1)),
        "squares are added up; take their mean, or beta must shrink with the size of a picture",
    ),
    (
        _with(_mixed, _target, lambda off: off.abs().mean(1)),
        "that is the mean of the sizes of the errors; the loss has their squares",
    ),
    (
        _with(_mixed, lambda data, noise: data - noise),
        "the velocity points from data to noise; your target points the other way",
    ),
    (_with(_mixed, lambda data, noise: data), "the target is the velocity, not the data"),
    (_with(_mixed, lambda data, noise: noise), "the target is the velocity, not the noise"),
    (
        _with(lambda data, noise, level: level * data + (1 - level) * noise, _target),
        "data and noise have changed places in x: at sigma 0 it is the data",
    ),
    (
        _with(lambda data, noise, level: data, _target),
        "the network is shown the clean pictures; mix in the noise",
    ),
    (
        _target_of_the_winner,
        "the loser is compared with the winner's target; each picture has its own",
    ),
]

# --- the pull of a pair


@exercise
def ex_30_pull(pull) -> str:
    """pull(winner, loser, ref_winner, ref_loser, beta) -> (B,): of each pair's own loss"""
    four = _errors()
    given = pull(*four, BETA)
    need(
        isinstance(given, torch.Tensor) and given.shape == (5,),
        "give a tensor (B,), one number a pair",
    )
    need_none(given, _PULL_MISTAKES, near, *four, BETA)
    need_same(
        pull, EX_30_PULL, near, (*four, BETA),
        "that is not the derivative; take the loss of one pair and use the chain rule",
    )  # fmt: skip
    need_same(pull, EX_30_PULL, near, (*four, 50.0), "try another beta than 3")
    return "a pair that is won already pulls no more"


_PULL_MISTAKES = [
    (
        lambda *given: -EX_30_PULL(*given),
        "the sign: where the winner's error grows the loss grows, too",
    ),
    (
        lambda w, l, rw, rl, beta: beta / 2 * torch.sigmoid(-beta / 2 * _lead(w, l, rw, rl)),
        "yours is strong where the pair is won already; it should be strong where it is lost",
    ),
    (
        lambda w, l, rw, rl, beta: torch.sigmoid(beta / 2 * _lead(w, l, rw, rl)),
        "the inner derivative is missing",
    ),
    (
        lambda w, l, rw, rl, beta: beta * torch.sigmoid(beta / 2 * _lead(w, l, rw, rl)),
        "the inner derivative is half of beta",
    ),
    (
        lambda w, l, rw, rl, beta: beta / 2 * torch.sigmoid(beta / 2 * (w - l)),
        "the reference is left out",
    ),
    (
        lambda *given: EX_30_PULL(*given) / 5,
        "you differentiate the mean over the pairs; here each pair's own loss is asked for",
    ),
    (
        lambda w, l, rw, rl, beta: -F.logsigmoid(-beta / 2 * _lead(w, l, rw, rl)),
        "that is the loss of each pair, not its derivative",
    ),
]
