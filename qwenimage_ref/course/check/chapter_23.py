"""Chapter 23: image to image and inpainting."""

import torch

from ..answers import EX_23_BLEND, EX_23_JUMP, EX_23_RELEASED
from .common import demand_shape, exercise, need, need_none, wrong_here


def _drawn(shape, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _known(clean, noise, sigma):
    return (1 - sigma) * clean + sigma * noise


# wrong blends of (latents, clean, noise, mask, sigma), and what is wrong with each
BLENDS = (
    (
        lambda x, clean, noise, mask, sigma: EX_23_BLEND(x, clean, noise, 1 - mask, sigma),
        "the mask is used the wrong way round: 1 is painted again, 0 is put back",
    ),
    (lambda x, clean, noise, mask, sigma: x, "nothing is put back"),
    (
        lambda x, clean, noise, mask, sigma: _known(clean, noise, sigma),
        "everything is put back, so nothing is painted",
    ),
    (
        lambda x, clean, noise, mask, sigma: (1 - mask) * clean + mask * x,
        "the picture is put back without noise, but the latents still have noise of some level",
    ),
    (
        lambda x, clean, noise, mask, sigma: (1 - mask) * _known(noise, clean, sigma) + mask * x,
        "at a high sigma there is much noise, not little: swap the weights of the two",
    ),
    (
        lambda x, clean, noise, mask, sigma: (1 - mask) * (clean + sigma * noise) + mask * x,
        "the noise is added, but the picture keeps its full weight: mix",
    ),
    (
        lambda x, clean, noise, mask, sigma: _known(clean, noise, sigma) + mask * x,
        "what is put back is put back under the mask, too",
    ),
    (
        lambda x, clean, noise, mask, sigma: (1 - mask) * _known(clean, noise, sigma) + x,
        "the painted latents are kept outside of the mask, too",
    ),
    (
        lambda x, clean, noise, mask, sigma: (
            (1 - mask) * _known(clean, noise, sigma) + mask * _known(x, noise, sigma)
        ),
        "the painted latents are noisy already; only the picture has to be put under noise",
    ),
    (
        lambda x, clean, noise, mask, sigma: EX_23_BLEND(x, clean, noise, mask.round(), sigma),
        "a blurred mask has values between 0 and 1, which mix both sides",
    ),
)


@exercise
def ex_23_blend(blend) -> str:
    """blend(latents, clean, noise, mask, sigma) at several levels and sizes, hard and soft."""
    for seed, (shape, soft, sigma) in enumerate(
        [
            ((1, 3, 4, 6), False, 0.8),
            ((2, 5, 7, 3), True, 0.3),
            ((3, 2, 6, 5), True, 0.95),
            ((2, 4, 5, 8), False, 0.0),
        ]
    ):
        latents, clean, noise = (_drawn(shape, 10 * seed + i) for i in range(3))
        mask = torch.rand((1, 1, *shape[2:]), generator=torch.Generator().manual_seed(seed))
        mask = mask if soft else (mask > 0.5).float()
        arguments = (latents, clean, noise, mask, torch.tensor(sigma))
        answer, right = blend(*arguments), EX_23_BLEND(*arguments)
        need(isinstance(answer, torch.Tensor), f"the answer must be a tensor, not {answer!r}")
        need(
            answer.shape == right.shape,
            f"latents of {tuple(shape)} became {tuple(answer.shape)}",
        )
        if not torch.allclose(answer, right, atol=1e-5):
            need_none(answer, BLENDS, _alike, *arguments)
            need(False, _where_it_differs(answer, right, mask, sigma))
        still = (mask == 0).expand_as(clean)
        need(
            sigma > 0 or torch.equal(answer[still], clean[still]),
            "at sigma 0 what is put back must be the picture's latents to the last bit",
        )
    return "what the mask leaves black is the picture again, as noisy as the rest"


def _alike(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


def _where_it_differs(answer, right, mask, sigma: float) -> str:
    apart = (answer - right).abs().amax(1, keepdim=True) > 1e-5
    if not apart[(mask == 0).expand_as(apart)].any():
        return f"at sigma {sigma} it is right where the mask is 0, and wrong where it is not"
    return f"at sigma {sigma} what is put back is not the picture under noise of this level"


# wrong jumps of (latents, fresh noise, level, higher level), and what is wrong with each


def _jump(shrink, add):
    """shrink(s, t), add(s, t): the weights of the latents and of the fresh noise"""
    return lambda x, fresh, s, t: shrink(s, t) * x + add(s, t) * fresh


def _left(s, t):
    return (1 - t) / (1 - s)


def _added(s, t):
    return (t**2 - (_left(s, t) * s) ** 2).sqrt()


JUMPS = (
    (
        _jump(_left, lambda s, t: t - _left(s, t) * s),
        "too little noise: two independent noises do not add up in their weights but in their "
        "variances, the squares of the weights",
    ),
    (
        _jump(_left, lambda s, t: t),
        "too much noise: the latents bring noise of their own, which counts as well",
    ),
    (
        _jump(_left, lambda s, t: (t**2 - s**2).sqrt()),
        "the noise that the latents bring is taken for as large as before; it shrinks with the "
        "picture",
    ),
    (
        _jump(_left, lambda s, t: _added(s, t) ** 2),
        "that weight is a variance; noise is multiplied by its root",
    ),
    (
        _jump(_left, lambda s, t: (t - s).sqrt()),
        "the levels are weights of noise, not variances; square them before you subtract",
    ),
    (
        _jump(lambda s, t: 1 - t, lambda s, t: t),
        "that treats the latents as a clean picture, but they are a mixture already",
    ),
    (
        _jump(lambda s, t: 1 - t, _added),
        "the picture is there with a weight below 1 already; it has to end with the weight of the "
        "higher level, not with the product of both",
    ),
    (
        _jump(lambda s, t: 1.0, lambda s, t: (t**2 - s**2).sqrt()),
        "noise is added, but the picture keeps its weight; at a higher level it is fainter",
    ),
    (
        _jump(
            lambda s, t: ((1 - t**2) / (1 - s**2)).sqrt(),
            lambda s, t: ((t**2 - s**2) / (1 - s**2)).sqrt(),
        ),
        "that keeps the variance at 1, as the mixtures of other models do; here picture and noise "
        "have the weights 1 - sigma and sigma",
    ),
    (
        _jump(lambda s, t: t / s, lambda s, t: 0.0),
        "the noise that is there is made larger, and the picture with it; add fresh noise",
    ),
)


@exercise
def ex_23_jump(jump) -> str:
    """jump(latents, fresh, sigma, higher) at several sizes and pairs of levels."""
    levels = ((0.3, 0.8), (0.55, 0.6), (0.1, 0.95), (0.4, 1.0), (0.7, 0.7), (0.0, 0.35))
    for seed, pair in enumerate(levels):
        shape = (1 + seed % 3, 2 + seed % 2, 3 + seed, 5)
        arguments = *(_drawn(shape, 7 * seed + i) for i in range(2)), *map(torch.tensor, pair)
        right, words = EX_23_JUMP(*arguments), "from level {} to {}".format(*pair)
        answer = jump(*arguments)
        demand_shape(answer, shape, f"of latents {words}")
        wrong = wrong_here(JUMPS, right, _alike, *arguments)
        need_none(answer, wrong, _alike, *arguments)
        need(
            not answer.isnan().any(),
            f"{words} some numbers are none; is a root taken of a number below zero?",
        )
        need(
            _alike(answer, right),
            f"{words} the weights are others; write down what the picture and the two noises are "
            "multiplied by",
        )
    return "a mixture of the higher level, with noise that is partly new"


# wrong schedules of (strengths, steps), and what is wrong with each
SCHEDULES = (
    (
        lambda change, steps: ~EX_23_RELEASED(change, steps),
        "it is turned round: a step is true where the painted latents stay",
    ),
    (
        lambda change, steps: EX_23_RELEASED(1 - change, steps),
        "a larger strength has to be released earlier, not later",
    ),
    (
        lambda change, steps: _from(steps - steps * change, steps, later=1),
        "released one step late: the first step that a strength takes already counts",
    ),
    (
        lambda change, steps: _from(steps - steps * change, steps, later=-1),
        "released one step early: the latents of the step before are still put back",
    ),
    (
        lambda change, steps: _rounded_up(change, steps),
        "where the number of steps to skip is no integer, skip one less, not one more",
    ),
    (
        lambda change, steps: (change > 0.5).expand(steps, *change.shape),
        "a threshold makes a hard mask of it: each strength has a step of its own",
    ),
    (
        lambda change, steps: torch.flip(EX_23_RELEASED(change, steps), (0,)),
        "released at the start and held at the end: time runs the other way",
    ),
)


def _from(skipped, steps: int, later: int):
    first = skipped.floor() + later
    return torch.arange(steps).view(-1, 1, 1) >= first


def _rounded_up(change, steps: int):
    first = (steps - steps * change).ceil()
    return torch.arange(steps).view(-1, 1, 1) >= first


@exercise
def ex_23_released(released) -> str:
    """released(change, steps), for maps of strengths and numbers of steps that divide or do not."""
    for seed, (steps, shape) in enumerate([(8, (3, 5)), (10, (4, 2)), (7, (2, 6)), (20, (6, 3))]):
        generator = torch.Generator().manual_seed(seed)
        # tenths; 0 and 1 are in each map
        change = torch.randint(0, 11, shape, generator=generator).double() / 10
        change[0, 0], change[-1, -1] = 0, 1
        answer, right = released(change, steps), EX_23_RELEASED(change, steps)
        need(isinstance(answer, torch.Tensor), f"the answer must be a tensor, not {answer!r}")
        need(
            answer.shape == right.shape,
            f"{steps} steps and a map of {shape} want {tuple(right.shape)}, not "
            f"{tuple(answer.shape)}",
        )
        answer = answer.bool()
        if not torch.equal(answer, right):
            need_none(answer, SCHEDULES, torch.equal, change, steps)
        need(not answer[:, 0, 0].any(), "at strength 0 no step may change anything")
        need(answer[:, -1, -1].all(), "at strength 1 every step counts")
        need(
            torch.equal(answer, right),
            f"of {steps} steps, some strengths are released at another than their first step",
        )
    return "every place joins in when its own strength says so"
