"""Chapter 13: is it any good?"""

from ..answers import EX_13_FOOLED
from .common import exercise, need


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
