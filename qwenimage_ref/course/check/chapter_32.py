"""Chapter 32: distillation."""

from functools import partial
from types import SimpleNamespace

import torch

from ..answers import EX_32_MATCHING, EX_32_SCORE, EX_32_STUDENT
from .common import demand_shape, exercise, near, need, need_all, need_none, numbers

# --- the score


@exercise
def ex_32_score(score) -> str:
    """score(x (N, 2), velocity (N, 2), sigma (N, 1)) -> (N, 2)"""
    x, velocity = numbers(7, 2, seed=1), numbers(7, 2, seed=2)
    sigma = torch.linspace(0.1, 0.9, 7).unsqueeze(1)
    given = score(x, velocity, sigma)
    demand_shape(given, (7, 2), "of one score a point, (N, 2)")
    need_none(given, _SCORE_MISTAKES, near, x, velocity, sigma)
    right = EX_32_SCORE(x, velocity, sigma)
    need(
        torch.allclose(given, right, atol=1e-4),
        "the noise expected in x is x itself plus the rest of the line; divide what it should be "
        "by the level, once, and mind the sign",
    )
    return "the score points away from the noise, the more steeply the less of it there is"


_SCORE_MISTAKES = [
    (
        lambda x, v, sigma: (x + (1 - sigma) * v) / sigma,
        "the sign is turned: more probable points lie against the noise",
    ),
    (
        lambda x, v, sigma: -(x + (1 - sigma) * v),
        "that is the noise with its sign turned; the score is steeper where there is little of it",
    ),
    (
        lambda x, v, sigma: -(x + (1 - sigma) * v) / sigma**2,
        "divided by the variance; the noise in x is sigma times a normal one, so one sigma is gone",
    ),
    (
        lambda x, v, sigma: -(x - sigma * v) / sigma,
        "x - sigma * velocity is the clean point; the score needs the noise",
    ),
    (
        lambda x, v, sigma: -(x + sigma * v) / sigma,
        "along the line from x to pure noise lies 1 - sigma, not sigma",
    ),
    (lambda x, v, sigma: -v, "minus the velocity is no score: it depends on the clean point, too"),
    (
        lambda x, v, sigma: -(x - (1 - sigma) * v) / sigma,
        "the velocity leads from the clean point to the noise, so it is added",
    ),
]

# --- the gradient of distribution matching


@exercise
def ex_32_matching(matching) -> str:
    """matching(picture, fake, teacher), each (N, D): its value and its gradient, within 1e-4"""
    picture, fake, teacher = (numbers(6, 5, seed=seed) for seed in (3, 4, 5))
    picture = picture * torch.linspace(0.5, 3, 6).unsqueeze(1)  # every picture of its own size
    value, slope, others = _sloped(matching, picture, fake, teacher)
    need(
        slope is not None,
        "no gradient comes back to the picture: only the target must be cut off from it",
    )
    need(
        not any(others),
        "fake and teacher get a gradient, too; neither of them is trained here",
    )
    right_value, right, _ = _sloped(EX_32_MATCHING, picture, fake, teacher)
    need_none(slope * len(picture), _MATCHING_MISTAKES, near, picture, fake, teacher)
    need(
        near(slope, right),
        "each picture's gradient should be (fake - teacher), divided by the mean of |picture - "
        "teacher| over its own numbers, and by the number of pictures",
    )
    need(
        torch.allclose(value, right_value, rtol=1e-5),
        "the gradient is right, the value is not: half the squared distance from the target, "
        "added up over each picture's numbers, as a mean over pictures",
    )
    return "downhill leads from the fake's picture to the teacher's"


def _sloped(matching, picture, fake, teacher):
    """-> the value, the gradient by the picture or None, whether the others have one"""
    given = [tensor.clone().requires_grad_(True) for tensor in (picture, fake, teacher)]
    value = matching(*given)
    need(
        isinstance(value, torch.Tensor) and value.numel() == 1,
        f"give one number, a tensor that can be differentiated, not {type(value).__name__}",
    )
    if not value.requires_grad:
        return value.detach(), None, []
    slope, *others = torch.autograd.grad(value, given, allow_unused=True)
    return value.detach(), slope, [other is not None and bool(other.any()) for other in others]


def _scale(picture, teacher):
    return (picture - teacher).abs().mean(dim=1, keepdim=True)


def _through_the_scale(picture, fake, teacher):
    """What comes out where the distance to the teacher, too, is followed."""
    picture = picture.clone().requires_grad_(True)
    scaled = (fake - teacher) / _scale(picture, teacher)
    return torch.autograd.grad((picture * scaled).sum(), picture)[0]


_MATCHING_MISTAKES = [
    (
        lambda p, f, t: (t - f) / _scale(p, t),
        "uphill: the gradient is fake - teacher, since a step goes against it",
    ),
    (lambda p, f, t: f - t, "the difference is not scaled; near the teacher it should count more"),
    (
        lambda p, f, t: (f - t) / (p - t).abs().mean(),
        "one scale for all pictures: each has its own distance from the teacher's",
    ),
    (
        lambda p, f, t: (f - t) / (p - t).pow(2).mean(dim=1, keepdim=True),
        "scaled by squares; take the mean of the absolute differences",
    ),
    (
        lambda p, f, t: (f - t) / (p - f).abs().mean(dim=1, keepdim=True),
        "the scale is the distance from the teacher's picture, not from the fake's",
    ),
    (
        lambda p, f, t: (f - t) / (f - t).abs().mean(dim=1, keepdim=True),
        "divided by its own size, the pull never becomes weaker, even where fake and teacher agree",
    ),
    (
        lambda p, f, t: 2 * (f - t) / _scale(p, t),
        "twice as steep: half a squared distance has the distance as its gradient",
    ),
    (
        lambda p, f, t: (f - t) / _scale(p, t) / p.shape[1],
        "too flat: the scale is a mean over a picture's numbers, while the squares are added up",
    ),
    (
        lambda p, f, t: len(p) * (f - t) / _scale(p, t),
        "steep in the number of pictures: average over them",
    ),
    (
        lambda p, f, t: (p - t) / _scale(p, t),
        "that pulls to the teacher's picture and leaves the fake's opinion out",
    ),
    (
        _through_the_scale,
        "the scale is followed as well; it belongs to what is cut off",
    ),
]

# --- a step of the student


class _Velocity:
    """A curved velocity with one weight, and a record of its calls."""

    def __init__(self, turn: float):
        self.weight = torch.tensor(turn, requires_grad=True)
        self.calls: list[tuple] = []

    def __call__(self, x, sigma):
        x_seen, level = x.detach(), torch.as_tensor(sigma).detach()
        self.calls.append((x_seen, level.expand(len(x), 1) if level.ndim < 2 else level))
        return torch.sin(self.weight * x.flip(1)) * (1 + sigma) + 0.3 * x


@exercise
def ex_32_student(loss) -> str:
    """loss(student, fake, teacher, noise (N, 2), e (N, 2), sigma (N, 1)) and its gradients"""
    noise, e = numbers(9, 2, seed=7), numbers(9, 2, seed=8)
    sigma = torch.linspace(0.2, 0.8, 9).unsqueeze(1)
    seen = _ran(loss, noise, e, sigma)
    right = _ran(EX_32_STUDENT, noise, e, sigma)
    for facts in (_CALLS, _OPINIONS, _STEPS):
        need_all(SimpleNamespace(**vars(seen), wanted=right, noise=noise, e=e, sigma=sigma), facts)
    return "noise in, one step, two opinions, and a gradient for the student alone"


def _ran(loss, noise, e, sigma):
    """-> value, calls of each network and its gradient, None where none came"""
    networks = [_Velocity(turn) for turn in (0.9, 1.3, 0.6)]
    value = loss(*networks, noise, e, sigma)
    need(
        isinstance(value, torch.Tensor) and value.numel() == 1,
        f"give one number, a tensor that can be differentiated, not {type(value).__name__}",
    )
    if value.requires_grad:
        value.backward()
    names = ("student", "fake", "teacher")
    calls = {name: network.calls for name, network in zip(names, networks)}
    slopes = {name: network.weight.grad for name, network in zip(names, networks)}
    return SimpleNamespace(value=value.detach(), calls=calls, slopes=slopes)


def _at(seen, name: str, place: int):
    return seen.calls[name][0][place]


def _same(a, b, atol=1e-5) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=atol)


def _asked_at(name: str, wrong, seen) -> bool:
    return _same(_at(seen, name, 0), wrong(seen))


_CALLS = (
    (
        lambda seen: len(seen.calls["student"]) == 1,
        lambda seen: (
            f"the student takes one step; yours asks it {len(seen.calls['student'])} times"
        ),
    ),
    (
        lambda seen: _same(_at(seen, "student", 0), seen.noise),
        "the student begins at `noise`",
    ),
    (
        lambda seen: _same(_at(seen, "student", 1), torch.ones(9, 1)),
        "the student's one step begins at level 1, pure noise, whatever sigma is",
    ),
    (
        lambda seen: len(seen.calls["fake"]) == len(seen.calls["teacher"]) == 1,
        "fake and teacher are asked once each",
    ),
)
_OPINIONS = (
    (
        lambda seen: not _asked_at("fake", lambda s: _mixed(s, s.noise), seen),
        "the noise on top is a new one, `e`; the student's own would lead back to where it came "
        "from",
    ),
    (
        lambda seen: not _asked_at("fake", lambda s: _picture(s), seen),
        "without noise on top the two have no opinion: where nothing lies, a score says nothing",
    ),
    (
        lambda seen: (
            not _asked_at("fake", lambda s: s.sigma * _picture(s) + (1 - s.sigma) * s.e, seen)
        ),
        "clean and noise are exchanged: at sigma 1 there is noise alone",
    ),
    (
        lambda seen: _same(_at(seen, "fake", 0), _mixed(seen, seen.e)),
        "fake and teacher look at the student's picture under noise: (1 - sigma) of the picture, "
        "sigma of `e`; and the picture is where one whole step from level 1 to 0 ends",
    ),
    (
        lambda seen: _same(_at(seen, "teacher", 0), _at(seen, "fake", 0)),
        "fake and teacher must look at the same point, or their difference is noise",
    ),
    (
        lambda seen: all(_same(_at(seen, name, 1), seen.sigma) for name in ("fake", "teacher")),
        "fake and teacher are asked at `sigma`, the level of what they are shown",
    ),
)
_STEPS = (
    (
        lambda seen: seen.slopes["student"] is not None,
        "no gradient comes back to the student: the picture itself must not be cut off",
    ),
    (
        lambda seen: seen.slopes["fake"] is None and seen.slopes["teacher"] is None,
        "fake or teacher get a gradient here; in the student's step only the student is trained",
    ),
    (
        lambda seen: not _same(seen.slopes["student"], -seen.wanted.slopes["student"]),
        "uphill: fake and teacher are exchanged",
    ),
    (
        lambda seen: torch.allclose(
            seen.slopes["student"], seen.wanted.slopes["student"], rtol=1e-3
        ),
        "all are asked as they should be, but the gradient is not the one of the matching loss of "
        "the picture and the two clean points; is it cut off from what fake and teacher say?",
    ),
    (
        lambda seen: torch.allclose(seen.value, seen.wanted.value, rtol=1e-5),
        "the gradient is right, the value is not the matching loss's",
    ),
)


def _picture(seen):
    step = partial(_Velocity(0.9), seen.noise, torch.ones(9, 1))
    with torch.no_grad():
        return seen.noise - step()


def _mixed(seen, noise):
    return (1 - seen.sigma) * _picture(seen) + seen.sigma * noise
