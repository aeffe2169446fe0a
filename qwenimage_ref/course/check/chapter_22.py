"""Chapter 22: why this way."""

from ..answers import EX_22_WORSE
from .common import exercise, need

MOST = 45  # captions that only one of the two models gets right: all counts below are tried


def _asked(both: int, first: int, second: int, neither: int) -> tuple[str, str]:
    """What two models got right: so many captions both, only the first, only the second, none."""
    pairs = both * ["11"] + first * ["10"] + second * ["01"] + neither * ["00"]
    return tuple("".join(side) for side in zip(*pairs))


@exercise
def ex_22_worse(worse) -> str:
    """Whether a variant is worse than the baseline beyond chance, asked the same captions."""

    def verdict(*counts):
        answer = worse(*_asked(*counts))
        need(isinstance(answer, bool), f"the answer is True or False, not {answer!r}")
        return answer

    need(not verdict(0, 60, 0, 0), "the variant comes first: there it was right each time")
    need(verdict(0, 0, 60, 0), "never right where the baseline always was, and that is chance?")
    need(
        verdict(100, 0, 15, 100),
        "15 captions were lost and none won; that the shares lie close, 100 and 115 of 215, says "
        "little: what is the difference of each caption?",
    )
    need(
        not verdict(100, 30, 33, 40),
        "33 captions were lost but 30 won: a difference of three out of 63 is a matter of luck",
    )
    need(not verdict(120, 0, 0, 80), "they agree on every caption, so neither is worse")
    need(verdict(0, 3, 17, 0), "17 against 3: it happens in three of a thousand even contests")
    need(
        verdict(2, 0, 6, 2),
        "6 against 0 leaves chance 3 in 100, both ways counted; under 5 is enough",
    )
    need(
        not verdict(2, 0, 5, 2),
        "5 against 0 happens in 6 of 100 even contests, if either side may be the one that loses; "
        "you did not know beforehand which it would be",
    )
    for won, lost in ((won, lost) for lost in range(MOST) for won in range(MOST)):
        counts = (4, won, lost, 3)
        need(
            verdict(*counts) == EX_22_WORSE(*_asked(*counts)),
            f"{lost} lost against {won} won: count how many of all even contests of {won + lost} "
            "end so or still more one-sided, both ways; a formula for many captions, or a rule of "
            "thumb, is off where they are few",
        )
    return "only the captions on which they differ speak, and few of them say little"
