"""Greedy writing with a repetition penalty: what chapter 27 asks for, and the slips it names."""

import torch

from ..answers import EX_27_WRITE
from .common import need, need_none

WORDS = 9  # size of the checker's vocabulary


def _table(seed: int):
    """Scores that depend on the last token and on how many there are; some negative"""
    noise = torch.randn(5, WORDS, WORDS, generator=torch.Generator().manual_seed(seed))
    table = noise - 3 * (seed % 2)  # every other time the largest are negative as well
    return lambda ids: table[len(ids) % 5, ids[-1]]


def _slip(penalise, stops=True, last=True):
    """The exercise with another rule: penalise(scores, ids, written, penalty) -> scores"""

    def write(scores_of, ids, most, ends, penalty):
        ids, written = list(ids), []
        while len(written) < most:
            scores = penalise(scores_of(ids).clone(), ids, written, penalty)
            id = scores.argmax().item()
            if stops and id in ends and not last:
                return written
            written.append(id)
            ids.append(id)
            if stops and id in ends:
                return written
        return written

    return write


def _lowered(scores, marked, penalty) -> torch.Tensor:
    for id in {*marked}:
        scores[id] = scores[id] * penalty if scores[id] < 0 else scores[id] / penalty
    return scores


def _divided(scores, ids, written, penalty) -> torch.Tensor:
    for id in {*ids}:
        scores[id] = scores[id] / penalty
    return scores


def _each_time(scores, ids, written, penalty) -> torch.Tensor:
    for id in ids:
        scores[id] = scores[id] * penalty if scores[id] < 0 else scores[id] / penalty
    return scores


def _subtracted(scores, ids, written, penalty) -> torch.Tensor:
    for id in {*ids}:
        scores[id] = scores[id] - (penalty - 1)
    return scores


def _usual(scores, ids, written, penalty) -> torch.Tensor:
    return _lowered(scores, ids, penalty)


_WRITERS = [
    (_slip(lambda scores, ids, written, penalty: scores), "nothing is penalised"),
    (_slip(_divided), "dividing a negative score raises it: below zero, multiply"),
    (
        _slip(lambda scores, ids, written, penalty: _lowered(scores, written, penalty)),
        "what occurred in the question counts as well",
    ),
    (
        _slip(lambda scores, ids, written, penalty: _lowered(scores, ids[-1:], penalty)),
        "only the last token is penalised; every one that occurred is",
    ),
    (_slip(_each_time), "a token that occurred twice is penalised twice; once is enough"),
    (_slip(_subtracted), "the penalty is subtracted; it is a factor"),
    (
        _slip(lambda scores, ids, written, penalty: _lowered(scores, ids, 1 / penalty)),
        "what occurred becomes more likely; turn the factor round",
    ),
    (_slip(_usual, stops=False), "it goes on behind an end"),
    (_slip(_usual, last=False), "the end itself belongs to what is written"),
]
# seed of the scores, question, most, ends, penalty
_QUESTIONS = [
    (
        seed,
        [seed % WORDS, (3 * seed + 1) % WORDS, seed % WORDS],
        9 + seed % 5,
        {seed % 4, 8},
        penalty,
    )
    for seed in range(1, 25)
    for penalty in (1.3, 2.1)
]


def check_write(write) -> None:
    """Raises NotYet, with the slip that the answer is"""

    def all_of(writer):
        return [writer(_table(seed), ids, *rest) for seed, ids, *rest in _QUESTIONS]

    given = all_of(write)
    need(
        all(isinstance(ids, list) for ids in given),
        "give a list of the ids that were written, without those of the question",
    )
    right = all_of(EX_27_WRITE)
    need(
        not any(ids[:3] == question[1] for ids, question in zip(given, _QUESTIONS)),
        "the question's ids are returned, too; only what is written counts",
    )
    need(not _changes_scores(write), "your function changes the scores that it is given; copy them")
    if given != right:
        need_none(given, [(lambda w=w: all_of(w), hint) for w, hint in _WRITERS], _alike)
        longer = any(len(a) > question[2] for a, question in zip(given, _QUESTIONS))
        need(not longer, "more tokens are written than asked for")
        need(False, "not right yet; take the largest score each time, after lowering what occurred")


def _changes_scores(write) -> bool:
    """Whether an answer changes a tensor of scores that it is given."""
    seed, ids, *rest = _QUESTIONS[0]
    kept = []

    def scores_of(ids):
        scores = _table(seed)(ids)
        kept.append((scores, scores.clone()))
        return scores

    write(scores_of, ids, *rest)
    return any(not torch.equal(scores, before) for scores, before in kept)


def _alike(a, b) -> bool:
    return a == b
