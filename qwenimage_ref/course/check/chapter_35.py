"""Chapter 35: a law."""

import math

import torch

from ..answers import EX_35_BEST, EX_35_EXCESS, EX_35_FLOOR, EX_35_FLOPS
from .common import demand_shape, exercise, near, need, need_none, numbers, wrong_here

# --- the floor of some points

_SIZES = ((3, 5, 4), (2, 7, 1), (4, 3, 2))  # points, noises, numbers in each
_LEVELS = (0.5, 0.85, 0.3)


@exercise
def ex_35_floor(floor_of) -> str:
    """floor_of(points (K, D), chances (K,), sigma, noise (M, D)) -> ()"""
    for seed, ((K, M, D), sigma) in enumerate(zip(_SIZES, _LEVELS)):
        case = (
            numbers(K, D, seed=seed),
            numbers(K, seed=seed + 10).softmax(0),
            sigma,
            numbers(M, D, seed=seed + 20),
        )
        given, right = floor_of(*case), EX_35_FLOOR(*case)
        demand_shape(given, (), "of one number, without dimensions")
        need_none(given, wrong_here(_FLOOR_MISTAKES, right, near, *case), near, *case)
        need(
            near(given, right),
            f"for {K} points of {D} numbers, {M} noises and sigma {sigma} it is another number; "
            "compute the posterior of one x by hand and compare",
        )
    wide = numbers(3, 500, seed=4), torch.full((3,), 1 / 3), 0.4, numbers(2, 500, seed=5)
    given = floor_of(*wide)
    need(
        bool(given.isfinite()),
        "with 500 numbers every exponential rounds to 0, and 0 / 0 is not a number; subtract the "
        "largest logarithm of each row first",
    )
    need(near(given, EX_35_FLOOR(*wide)), "for points of 500 numbers it is another number")
    return "no network has a smaller loss on these points"


def _floored(
    scale=None, width=None, prior=True, by_chance=True, over=2, whole=False, own=False, best=False
):
    """The floor with one mistake; None: as it should be."""

    def wrong(points, chances, sigma, noise):
        clean = points[:, None]
        x = (1 - sigma) * clean + sigma * noise
        near_by = (1 - sigma if scale is None else scale) * points
        apart = (x[:, :, None] - near_by).square().sum(-1)
        logits = -apart / (2 * sigma**2 if width is None else width(sigma))
        posterior = (logits + chances.log() if prior else logits).softmax(-1)
        if best:
            posterior = torch.nn.functional.one_hot(posterior.argmax(-1), len(points)).float()
        mean = posterior @ points
        errors = ((x if own else clean) - mean).square() / sigma**over
        errors = errors.sum(2).mean(1) if whole else errors.mean((1, 2))
        return (chances * errors).sum() if by_chance else errors.mean()

    return wrong


_FLOOR_MISTAKES = [
    (_floored(over=0), "that is the variance that is left; a velocity's error is larger, since "
     "it is the error of x0 over sigma"),
    (_floored(over=1), "divided once; the error is squared, and so is what divides it"),
    (_floored(prior=False), "the posterior takes all points for equally likely; Bayes' rule "
     "multiplies with what was likely before x was seen"),
    (_floored(by_chance=False), "the average over the points counts all of them alike; a likely "
     "point is met more often"),
    (_floored(prior=False, by_chance=False), "all points are taken for equally likely"),
    (_floored(scale=1), "x lies near (1 - sigma) times its point, not near the point itself"),
    (_floored(width=lambda s: s**2), "a normal density has twice the variance below the square"),
    (_floored(width=lambda s: 2 * s), "sigma is a deviation; the density has its square"),
    (_floored(width=lambda s: 2.0), "the density of x has sigma's variance, not that of 1"),
    (_floored(whole=True), "that is the sum over the numbers of a point; the loss is an average"),
    (_floored(best=True), "that takes the most likely point; the least squared error is reached "
     "by the average of all, each by its probability"),
    (_floored(own=True), "that is how far x is from the estimate; compare with the clean point"),
]  # fmt: skip

# --- the work of a training run

_RUNS = ((48, 2, 64, 26, 32), (7, 5, 9, 2, 11), (3072, 60, 6889, 100, 10), (10, 1, 4, 0, 1))


@exercise
def ex_35_flops(training_flops) -> str:
    """training_flops(width, blocks, image_tokens, text_tokens, pictures) -> FLOPs of the blocks"""
    given = [training_flops(*run) for run in _RUNS]
    need(all(int(number) == number for number in given), "operations are counted: an integer")
    need_none([int(number) for number in given], _FLOPS_MISTAKES, _equal)
    for run, number in zip(_RUNS, given):
        need(
            number == EX_35_FLOPS(*run),
            f"for width, blocks, image tokens, text tokens, pictures = {run} it is not {number:,}; "
            "write down the shape of every matrix of a block, and how many rows pass through it",
        )
    return "forward and backward, through every block, for every picture"


def _equal(a, b) -> bool:
    return a == b


def _counted(
    times=3, matrices=24, modulation=24, rows=False, power=2, all_attention=4, text=True, deep=True,
    many=True,
):  # fmt: skip
    """All runs, with one mistake."""

    def count(D, blocks, I, T, pictures):  # noqa: E741
        S = I + T if text else I
        block = matrices * S * D**2 + all_attention * S**power * D
        block += modulation * D**2 * (S if rows else 1)
        return times * (pictures if many else 1) * (blocks if deep else 1) * block

    return lambda: [count(*run) for run in _RUNS]


_FLOPS_MISTAKES = [
    (_counted(times=1), "that is the forward pass; the backward pass computes two gradients"),
    (_counted(times=2), "the backward pass has two products for each one of the forward pass: a "
     "gradient by the weights and one by the inputs"),
    (_counted(matrices=48), "a token passes through the matrices of its own stream only"),
    (_counted(matrices=72, modulation=0), "that is what 6 N D counts; a token passes through the "
     "matrices of its own stream only, and the modulation has one row for a picture"),
    (_counted(rows=True), "the modulation is computed once for a picture, not for each token"),
    (_counted(modulation=12), "each of the two streams has a modulation of its own"),
    (_counted(modulation=0), "the modulation is missing"),
    (_counted(all_attention=0), "attention's scores and weighted sums are missing"),
    (_counted(all_attention=2), "attention has two products: scores, and the weighted sum"),
    (_counted(power=1), "every token attends to every token: attention grows with the square"),
    (_counted(text=False), "text tokens pass through the blocks as well"),
    (_counted(deep=False), "that is a single block"),
    (_counted(many=False), "that is a single picture"),
    (_counted(matrices=12, all_attention=2, modulation=12), "a multiplication and an addition are "
     "two operations"),
]  # fmt: skip

# --- the excess over a floor


@exercise
def ex_35_excess(excess_law) -> str:
    """excess_law(compute (N,), losses (N,), floor) -> factor, exponent"""
    for seed, (count, floor, exponent) in enumerate(
        ((4, 0.07, 0.3), (7, 0.5, 0.11), (3, 0.0, 1.0))
    ):
        noise = numbers(count, seed=seed).double()
        compute = (12 + torch.arange(count, dtype=torch.float64) ** 1.3).exp()
        losses = floor + 40 * compute**-exponent * (0.2 * noise).exp()
        given = excess_law(compute, losses, floor)
        need(
            isinstance(given, (tuple, list)) and len(given) == 2,
            "give two numbers, the factor and the exponent",
        )
        given = [float(number) for number in given]
        right = EX_35_EXCESS(compute, losses, floor)
        case = compute, losses, floor
        need_none(given, wrong_here(_EXCESS_MISTAKES, right, _close, *case), _close, *case)
        need(
            _close(given, right),
            f"for {count} points above a floor of {floor} the law is another one; draw the "
            "logarithms of both and lay the line of least squares through them",
        )
    return "a straight line through the logarithms of what can still be gained"


def _close(a, b) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-6) for x, y in zip(a, b))


def _line(x, y):
    x, y = (torch.as_tensor(each, dtype=torch.float64) for each in (x, y))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return (y.mean() - slope * x.mean()).item(), slope.item()


def _from_logs(log, back):
    def wrong(compute, losses, floor):
        intercept, slope = _line(log(compute), log(losses - floor))
        return back(intercept), -slope

    return wrong


def _ends(compute, losses, floor):
    first, last = losses[0] - floor, losses[-1] - floor
    exponent = math.log(first / last) / math.log(compute[-1] / compute[0])
    return (first * compute[0] ** exponent).item(), exponent


def _other_way(compute, losses, floor):
    intercept, slope = _line((losses - floor).log(), compute.log())
    return math.exp(-intercept / slope), -1 / slope


def _through_origin(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    return 1.0, -((x * y).sum() / (x * x).sum()).item()


_EXCESS_MISTAKES = [
    (lambda *case: EX_35_EXCESS(*case[:2], 0.0) if case[2] else (math.nan,) * 2,
     "the floor is not subtracted; what can be gained is the loss above it"),
    (lambda *case: (EX_35_EXCESS(*case)[0], -EX_35_EXCESS(*case)[1]),
     "the excess falls, and the power is minus the exponent, so that the exponent is positive"),
    (lambda *case: EX_35_EXCESS(*case)[::-1], "the factor comes first, then the exponent"),
    (_from_logs(torch.log, lambda intercept: intercept), "the factor is still a logarithm"),
    (_from_logs(torch.log10, math.exp), "logarithms to base ten, turned back with base e"),
    (_from_logs(torch.log, lambda intercept: 10**intercept),
     "natural logarithms, turned back with base ten"),
    (_ends, "that is the line through the first and the last point; use all of them"),
    (_other_way, "the squares are those of compute's logarithm; the loss is what was measured "
     "with an error"),
    (_through_origin, "a line through the origin; the law has a factor as well"),
    (lambda c, L, floor: (lambda i, s: (i, -s))(*_line(c, L - floor)),
     "the line goes through the numbers themselves; a power law is straight in logarithms"),
]  # fmt: skip

# --- the best size for a budget

_CURVES = {
    "small": ((1e3, 0.9), (8e3, 0.6), (3e4, 0.5), (1e5, 0.47)),
    "middle": ((4e3, 0.8), (5e4, 0.45), (4e5, 0.2)),
    "twin": ((5e4, 0.45), (6e5, 0.3)),
    "large": ((2e4, 1.1), (3e5, 0.3), (3e6, 0.1)),
}
_BUDGETS = (1e3, 2e3, 6e3, 1.1e4, 3e4, 5e4, 9e4, 1e5, 3.9e5, 4e5, 5e5, 6e5, 1e6, 3e6, 10.0, 1e7)


@exercise
def ex_35_best(best_size) -> str:
    """best_size({size: ((compute, loss), ...)}, budget) -> (size, loss), or None"""
    given = [best_size(_CURVES, budget) for budget in _BUDGETS]
    need(
        all(each is None or isinstance(each, (tuple, list)) and len(each) == 2 for each in given),
        "give the size and its loss, or None where no size was measured around this budget",
    )
    need_none(given, _BEST_MISTAKES, _same_sizes)
    for budget, each in zip(_BUDGETS, given):
        right = EX_35_BEST(_CURVES, budget)
        if right is None:
            need(
                each is None,
                f"no curve has points on both sides of {budget:g}, and a law is not continued "
                "here: give None",
            )
            continue
        need(
            each is not None,
            f"for a budget of {budget:g} there is a size; a budget may be exactly that of a point",
        )
        need(
            _same_sizes([each], [right]),
            f"for a budget of {budget:g} it is not {each[0]} with a loss of {float(each[1]):.4g}; "
            "of two sizes with one loss give the first",
        )
    need(best_size({"alone": ((1.0, 2.0),)}, 3.0) is None and best_size({}, 1.0) is None,
         "a single point is no curve, and there may be no size at all")  # fmt: skip
    return "the lowest of the curves at this budget, and none beyond their ends"


def _same_sizes(a, b) -> bool:
    """Whether two lists have the same sizes and losses"""
    return len(a) == len(b) and all(
        x is y is None
        or (None not in (x, y) and x[0] == y[0] and math.isclose(x[1], y[1], rel_tol=1e-6))
        for x, y in zip(a, b)
    )


def _chosen(between=None, choose=min, inside=True):
    """All budgets by another rule."""

    def at(points, budget):
        ends = points[0][0], points[-1][0]
        if not ends[0] <= budget <= ends[1]:
            return None if inside else points[0 if budget < ends[0] else -1][1]
        pairs = zip(points, points[1:])
        (c, above), (d, below) = next(pair for pair in pairs if pair[0][0] <= budget <= pair[1][0])
        rule = between or _in_logs
        return rule(budget, c, d, above, below)

    def result(budget):
        every = {size: at(points, budget) for size, points in _CURVES.items()}
        every = {size: loss for size, loss in every.items() if loss is not None}
        return choose(every.items(), key=lambda pair: pair[1]) if every else None

    return lambda: [result(budget) for budget in _BUDGETS]


def _in_logs(budget, c, d, above, below):
    return above * (below / above) ** (math.log(budget / c) / math.log(d / c))


_BEST_MISTAKES = [
    (_chosen(lambda b, c, d, above, below: above + (below - above) * (b - c) / (d - c)),
     "the lines between points are straight in the numbers; draw them in logarithms of both"),
    (_chosen(lambda b, c, d, above, below:
             above + (below - above) * math.log(b / c) / math.log(d / c)),
     "compute is in logarithms, the loss is not"),
    (_chosen(lambda b, c, d, above, below: above * (below / above) ** ((b - c) / (d - c))),
     "the loss is in logarithms, compute is not"),
    (_chosen(lambda b, c, d, above, below: above if b < d else below),
     "between two points the loss is that of the cheaper one; lay a line between them"),
    (_chosen(lambda b, c, d, above, below: below if b > c else above),
     "between two points the loss is that of the more expensive one; lay a line between them"),
    (_chosen(choose=max), "that is the worst size"),
    (_chosen(inside=False), "beyond its ends a curve has no loss; leave the size out there"),
]  # fmt: skip
