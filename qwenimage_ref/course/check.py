"""Checkers of the exercises: they name the mistake and keep the answer to themselves."""

import torch

from ..posters.draw import BACKGROUNDS, COLOURS, SHAPES
from .answers import EX_13_FOOLED


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def _need(holds: bool, hint: str) -> None:
    if not holds:
        raise NotYet(hint)


START_00 = "a red circle left of a blue star on a white background"
STACKING = {"above", "below", "under", "over", "top"}


def ex_00_word(prompt: str) -> None:
    """Change one word of START_00 so that the shapes trade sides and nothing else changes."""
    _need(isinstance(prompt, str), "the answer is a whole prompt, a string in quotes")
    before, after = START_00.split(), prompt.split()
    _need(len(after) > 1, "give the whole prompt with its one new word, not the word alone")
    _need(after != before, "no word has changed; this is the prompt we started from")
    _need("not" not in after, "no caption denies anything: the model has no use for 'not'")
    _need(
        not STACKING & {*after},
        "that stacks the shapes; flipped, they still stand side by side",
    )
    _need(
        len(after) == len(before),
        f"{len(after)} words instead of {len(before)}; replace one word, add and remove none",
    )
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    words = {word for pair in changed for word in pair}
    _need(
        not words <= COLOURS.keys(),
        "that moves colours: each shape is to keep its own colour and change its side",
    )
    _need(
        not words <= SHAPES.keys(),
        "that gives the colours to other shapes: red is to stay round, blue to stay a star",
    )
    _need(not words <= BACKGROUNDS.keys(), "that repaints the background; no shape moves")
    _need(
        len(changed) == 1,
        f"{len(changed)} words differ from the start, though the picture may be the wanted one; "
        "one word can do it",
    )
    old, new = changed[0]
    _need(old == "left", f"{old!r} says nothing about sides; another word has to change")
    _need(new == "right", f"no caption says {new!r} of two shapes; it means nothing to the model")
    print("right: one word, and the shapes trade sides")


# shares of the draws below 1/4, 1/2 and 3/4, to four digits
SIGMAS_12 = {
    "uniform": (0.25, 0.5, 0.75),
    "logit-normal": (0.136, 0.5, 0.864),
    "shifted": (0.0366, 0.2441, 0.6575),
}


def ex_12_sigma(draw_sigma) -> None:
    """Noise levels drawn uniformly, logit-normally, and logit-normally with a shift of 2."""
    found = {}
    for kind in SIGMAS_12:
        sigma, again = (
            draw_sigma(kind, 20_000, torch.Generator().manual_seed(7)) for _ in range(2)
        )
        _need(
            isinstance(sigma, torch.Tensor) and sigma.shape == (20_000,),
            f"{kind}: give a tensor of `count` noise levels",
        )
        _need(
            torch.equal(sigma, again),
            f"{kind}: the same generator gave other levels; draw with the generator you are handed",
        )
        _need(
            bool(((sigma >= 0) & (sigma <= 1)).all()),
            f"{kind}: some levels lie outside of 0 to 1; a normal number has to be squashed first",
        )
        found[kind] = tuple((sigma < at).float().mean().item() for at in (0.25, 0.5, 0.75))
    mistakes = (
        ("uniform", "logit-normal", "uniform: yours crowds in the middle; each level is as likely"),
        ("logit-normal", "uniform", "logit-normal: yours is flat; begin with normal numbers"),
        ("logit-normal", "shifted", "logit-normal: yours is shifted; that is the third kind"),
        ("shifted", "logit-normal", "shifted: nothing has moved; 2 has to come in somewhere"),
    )
    for kind, other, hint in mistakes:
        _need(not _alike(found[kind], SIGMAS_12[other]), hint)
    backwards = tuple(1 - share for share in reversed(SIGMAS_12["shifted"]))
    _need(
        not _alike(found["shifted"], backwards),
        "shifted: yours moved towards the data; large pictures need more time in the noise",
    )
    _need(
        not _alike(found["shifted"], (1 / 7, 1 / 3, 3 / 5)),
        "shifted: that shifts the flat kind; shift the one that crowds in the middle",
    )
    for kind, shares in SIGMAS_12.items():
        given = ", ".join(f"{share:.2f}" for share in found[kind])
        wanted = ", ".join(f"{share:.2f}" for share in shares)
        _need(
            _alike(found[kind], shares),
            f"{kind}: shares below 1/4, 1/2 and 3/4 are {given} and should be {wanted}",
        )
    print("right: three ways to choose what the model practises")


def _alike(shares, others) -> bool:
    return all(abs(a - b) <= 0.02 for a, b in zip(shares, others))


def ex_13_fooled(fooled) -> None:
    """Chance that the worse of two models gets more of its n captions right, within 0.01."""
    better, worse = 0.9, 0.8
    one = _number(fooled(better, worse, 1))
    tie = better * worse + (1 - better) * (1 - worse)
    mistakes = {
        0.0: "with one caption each the worse model can win, and you say never: is a model that "
        "gets all of its n right among your cases?",
        worse * (1 - better) + tie: "that counts a tie as a defeat; equal counts fool nobody",
        worse * (1 - better) + tie / 2: "that counts half of the ties; equal counts fool nobody",
        better * (1 - worse): "that is how often the better one wins; you are fooled when it loses",
        worse: "the better model has luck of its own: it may get fewer right than its share",
    }
    for wrong, hint in mistakes.items():
        _need(abs(one - wrong) > 0.01, hint)
    _need(
        abs(one - worse * (1 - better)) <= 0.01,
        f"with one caption each there are four cases, and only one fools you; {one:.3f} is not its "
        "chance",
    )
    few, many = (_number(fooled(better, worse, n)) for n in (5, 200))
    _need(abs(few - one) > 0.01, "more captions change the chance; what does your n do?")
    _need(
        abs(few - EX_13_FOOLED(better, worse, 5)) <= 0.01,
        f"right for one caption each, not for five: {few:.3f}. Counts are whole numbers and far "
        "from bell-shaped where n is small",
    )
    _need(
        abs(many - EX_13_FOOLED(better, worse, 200)) <= 0.01,
        f"right for five captions each, not for 200: {many:.3f}",
    )
    print("right: few samples fool you this often")


def _number(answer) -> float:
    _need(
        isinstance(answer, int | float) and 0 <= answer <= 1,
        f"the answer is a chance, a number from 0 to 1, not {answer!r}",
    )
    return float(answer)


def _asked(both: int, first: int, second: int, neither: int) -> tuple[str, str]:
    """What two models got right: so many captions both, only the first, only the second, none."""
    pairs = both * ["11"] + first * ["10"] + second * ["01"] + neither * ["00"]
    return tuple("".join(side) for side in zip(*pairs))


def ex_22_worse(worse) -> None:
    """Whether a variant is worse than the baseline beyond chance, asked the same captions."""

    def found(*counts):
        answer = worse(*_asked(*counts))
        _need(isinstance(answer, bool), f"the answer is True or False, not {answer!r}")
        return answer

    _need(not found(0, 60, 0, 0), "the variant comes first: there it was right each time")
    _need(found(0, 0, 60, 0), "never right where the baseline always was, and that is chance?")
    _need(
        found(100, 0, 15, 100),
        "15 captions were lost and none won; that the shares lie close, 100 and 115 of 215, says "
        "little: what is the difference of each caption?",
    )
    _need(
        not found(100, 30, 33, 40),
        "33 captions were lost but 30 won: a difference of three out of 63 is a matter of luck",
    )
    _need(not found(120, 0, 0, 80), "they agree on every caption, so neither is worse")
    _need(found(0, 3, 17, 0), "17 against 3: it happens in three of a thousand even contests")
    _need(
        found(2, 0, 6, 2),
        "6 against 0 leaves chance 3 in 100, both ways counted; under 5 is enough",
    )
    _need(
        not found(2, 0, 5, 2),
        "5 against 0 happens in 6 of 100 even contests, if either side may be the one that loses; "
        "you did not know beforehand which it would be",
    )
    print("right: only the captions on which they differ speak, and few of them say little")
