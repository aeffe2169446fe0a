"""Chapter 13: is it any good?"""

import math

import torch

from ...evaluate.frechet import frechet
from ..answers import EX_13_FOOLED, EX_13_LUCK
from .common import exercise, need, need_none, numbers, wrong_here


@exercise
def ex_13_fooled(fooled) -> str:
    """Chance that the worse of two models gets more of its n captions right, within 0.01."""
    better, worse = 0.9, 0.8
    one = _number(fooled(better, worse, 1))
    tie = better * worse + (1 - better) * (1 - worse)
    mistakes = {
        0.0: "with one caption each the worse model can win, and you say never: is a model that "
        "gets all of its n right among your cases?",
        worse * (1 - better)
        + tie: "that counts a tie as a defeat; with equal counts you are not fooled",
        worse * (1 - better)
        + tie / 2: "that counts half of the ties; with equal counts you are not fooled",
        better * (1 - worse): "that is how often the better one wins; you are fooled when it loses",
        worse: "the better model has luck of its own: it may get fewer right than its share",
    }
    for wrong, hint in mistakes.items():
        need(abs(one - wrong) > 0.01, hint)
    need(
        abs(one - worse * (1 - better)) <= 0.01,
        f"with one caption each there are four cases, and only one fools you; {one:.3f} is not its "
        "chance",
    )
    few, many = (_number(fooled(better, worse, n)) for n in (5, 200))
    need(abs(few - one) > 0.01, "more captions change the chance; what does your n do?")
    need(
        abs(few - EX_13_FOOLED(better, worse, 5)) <= 0.01,
        f"right for one caption each, not for five: {few:.3f}. Counts are integers and far "
        "from bell-shaped where n is small",
    )
    need(
        abs(many - EX_13_FOOLED(better, worse, 200)) <= 0.01,
        f"right for five captions each, not for 200: {many:.3f}",
    )
    for better, worse, n in ((0.7, 0.55, 12), (0.99, 0.9, 40), (0.6, 0.6, 3)):
        chance = _number(fooled(better, worse, n))
        need(
            abs(chance - EX_13_FOOLED(better, worse, n)) <= 0.01,
            f"right for models of 0.9 and 0.8, not for {better} and {worse} with {n} captions "
            f"each: {chance:.3f}",
        )
    return "few samples fool you this often"


def _number(answer) -> float:
    need(
        isinstance(answer, int | float) and 0 <= answer <= 1,
        f"the answer is a chance, a number from 0 to 1, not {answer!r}",
    )
    return float(answer)


# --- the p of two settings on the same captions

_COUNTS = (  # captions that both, the first alone, the second alone, and neither has right
    (20, 9, 2, 5),
    (3, 1, 6, 0),
    (11, 4, 4, 1),
    (0, 5, 0, 2),
    (40, 60, 85, 15),
    (7, 0, 0, 3),
    (0, 0, 1, 0),
)


@exercise
def ex_13_luck(luck) -> str:
    """luck(first, second), two lists of bools -> the exact p of McNemar's test"""
    given = []
    for counts in _COUNTS:
        marks = _marks(*counts)
        p = luck(*marks)
        need(
            isinstance(p, int | float),
            f"give p as a number of Python, not {type(p).__name__}",
        )
        need(
            p <= 1 + 1e-9 or counts[1] != counts[2],
            "with equally many on both sides the two tails have the middle in common, and no p is "
            "larger than 1",
        )
        need(0 <= p <= 1 + 1e-9, f"p is a probability, from 0 to 1, and not {p:.4g}")
        given.append(float(p))
    need_none(given, _LUCK_MISTAKES, _close)
    for counts, p in zip(_COUNTS, given):
        both, first, second, neither = counts
        need(
            math.isclose(p, EX_13_LUCK(*_marks(*counts)), rel_tol=1e-6, abs_tol=1e-12),
            f"where {both} captions are right for both, {first} for the first alone, {second} for "
            f"the second alone and {neither} for none, p is not {p:.4g}",
        )
    return "how often equal settings would differ at least so unevenly"


def _marks(both: int, first: int, second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Two lists of marks with these counts, in an order that mixes them"""
    pairs = [(True, True)] * both + [(True, False)] * first
    pairs += [(False, True)] * second + [(False, False)] * neither
    pairs = pairs[::2] + pairs[1::2]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _close(a, b) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-12) for x, y in zip(a, b))


def _lucks(rule):
    """All cases by rule(first alone, second alone, captions)"""
    return lambda: [min(1.0, rule(f, s, b + f + s + n)) for b, f, s, n in _COUNTS]


def _tail(tosses: int, most: int) -> float:
    return sum(math.comb(tosses, k) for k in range(most + 1)) / 2**tosses


def _normal(f, s, less=0):
    return math.erfc(max(abs(f - s) - less, 0) / math.sqrt(2 * (f + s))) if f + s else 1.0


_LUCK_MISTAKES = [
    (_lucks(lambda f, s, n: _tail(f + s, min(f, s))), "that is one direction only; equal settings "
     "can differ so in favour of either"),
    (_lucks(lambda f, s, n: 2 * _tail(f + s, f)), "if the first setting is the better one you sum "
     "from the wrong end; it must not matter which of the two is given first"),
    (_lucks(lambda f, s, n: 2 * _tail(f + s, s)), "if the second setting is the better one you sum "
     "from the wrong end; it must not matter which of the two is given first"),
    (_lucks(lambda f, s, n: 2 * _tail(f + s, min(f, s) - 1)), "that leaves out the split that was "
     "seen; at least as unevenly includes it"),
    (_lucks(lambda f, s, n: math.comb(f + s, f) / 2 ** (f + s)), "that is the chance of exactly "
     "this split; a more uneven one would be no less surprising"),
    (_lucks(lambda f, s, n: 2 * math.comb(f + s, f) / 2 ** (f + s)), "that is the chance of "
     "exactly this split or its mirror image; more uneven ones count as well"),
    (_lucks(lambda f, s, n: 2 * _tail(n, min(f, s))), "a coin is tossed for every caption; where "
     "both are right, or none, there is nothing to toss for"),
    (_lucks(lambda f, s, n: _normal(f, s)), "that is a bell curve in the place of the coin; counts "
     "are small here, so toss it exactly"),
    (_lucks(lambda f, s, n: _normal(f, s, 1)), "that is a corrected bell curve; counts are small "
     "here, so toss the coin exactly"),
    (_lucks(lambda f, s, n: 1 - min(1.0, 2 * _tail(f + s, min(f, s)))),
     "that is 1 less p; an even split is no surprise and has a p of 1"),
]  # fmt: skip

# --- the Fréchet distance

_SETS = ((9, 14, 4), (40, 7, 3), (5, 4, 8), (25, 60, 32))  # N, M, numbers in each row
_SINGULAR = (
    "a covariance of few rows is singular, and rounding turns its eigenvalues of 0 into negative "
    "ones, which have no root; set them to 0"
)


@exercise
def ex_13_frechet(frechet_distance) -> str:
    """frechet_distance(a (N, D), b (M, D)) -> a number"""
    for seed, (N, M, D) in enumerate(_SETS):
        mixing = numbers(D, D, seed=seed + 40).double()
        a = numbers(N, D, seed=seed).double() @ mixing
        b = 1.4 * numbers(M, D, seed=seed + 20).double() + 0.7
        given, right = _distance(frechet_distance, a, b), frechet(a, b)
        need_none(given, wrong_here(_FRECHET_MISTAKES, right, _same, a, b), _same, a, b)
        need(
            _same(given, right),
            f"for sets of {N} and {M} with {D} features each it is {given:.4f} in the place of "
            f"{right:.4f}; compute both parts apart, that of the means and that of the covariances",
        )
        need(
            abs(_distance(frechet_distance, b, b)) < 1e-4 * right,
            "a set is not at distance 0 from itself",
        )
    return "two normal distributions, and how far apart they are"


def _distance(answer, a, b) -> float:
    """The answer as a number. NotYet where it is none."""
    sizes = f"of {len(a)} and {len(b)} rows with {a.shape[1]} features each"
    try:
        given = answer(a, b)
    except torch.linalg.LinAlgError:
        need(False, f"it stops for sets {sizes}: {_SINGULAR}")
    number = isinstance(given, (int, float)) or isinstance(given, torch.Tensor) and given.dim() == 0
    need(number, f"give one number, not {type(given).__name__}")
    need(
        not isinstance(given, torch.Tensor) or not given.is_complex(),
        "a complex number; take roots of a symmetric matrix, whose eigenvalues are real",
    )
    need(math.isfinite(given), f"not a number for sets {sizes}: {_SINGULAR}")
    return float(given)


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6)


def _root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


def _mixed(A, B):
    return torch.linalg.eigvalsh(_root(A) @ B @ _root(A)).clamp(min=0).sqrt().sum()


def _apart(
    mean=lambda gap: gap.square().sum(), unbiased=1, mixed=_mixed, times=2, centred=True, root=False
):
    """The distance with one mistake"""

    def distance(a, b):
        centres = (a.mean(0), b.mean(0)) if centred else (0.0, 0.0)
        A, B = (
            (x - centre).T @ (x - centre) / (len(x) - unbiased)
            for x, centre in zip((a, b), centres)
        )
        total = mean(a.mean(0) - b.mean(0)) + A.trace() + B.trace() - times * mixed(A, B)
        return float(total.clamp(min=0).sqrt() if root else total)

    return distance


_FRECHET_MISTAKES = [
    (_apart(unbiased=0), "the covariance is divided by the number of rows; by one less it is "
     "right in the mean, and the package does so"),
    (_apart(mean=lambda gap: 0.0), "the means are missing"),
    (_apart(mean=lambda gap: gap.norm()), "the distance of the means has to be squared"),
    (_apart(mean=lambda gap: gap.square().mean()), "the distance of the means is a sum over the "
     "features, not their average"),
    (_apart(times=1), "the mixed term counts twice"),
    (_apart(times=0), "the mixed term is missing, so that a set is far away from itself"),
    (_apart(mixed=lambda A, B: (A @ B).diagonal().clamp(min=0).sqrt().sum()),
     "those are the roots of single numbers; a root of a matrix is one whose square, as a matrix "
     "product, is the matrix"),
    (_apart(mixed=lambda A, B: (A.diagonal() * B.diagonal()).sqrt().sum()),
     "only the variances are compared; features also vary together"),
    (_apart(mixed=lambda A, B: (_root(A) @ _root(B)).trace()),
     "that is the product of both roots; it is no root of the product, since A and B do not "
     "commute"),
    (_apart(mixed=lambda A, B: _root((A @ B + B @ A) / 2).trace()),
     "A B is not symmetric, and to make it so by averaging changes it"),
    (_apart(mixed=lambda A, B: torch.linalg.eigvalsh(A @ B).clamp(min=0).sqrt().sum()),
     "a routine for symmetric matrices reads one half of them only, and A B is not symmetric"),
    (_apart(mixed=lambda A, B: torch.linalg.eigvalsh(_root(A) @ B @ _root(A)).sum()),
     "the mixed term lacks its last root"),
    (_apart(centred=False), "the mean is not subtracted before the covariance"),
    (_apart(root=True), "that is its square root; FID is the square"),
]  # fmt: skip
