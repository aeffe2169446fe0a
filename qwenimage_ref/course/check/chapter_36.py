"""Chapter 36: work split over processes."""

import math
from types import NoneType

import torch

from ..answers import EX_36_FEWEST, EX_36_ROWS, EX_36_SCATTER
from .common import exercise, near, need, need_none, need_same, numbers

# --- whose rows?

_CASES = ((12, 4), (10, 4), (5, 4), (3, 8), (7, 2), (18432, 64))


@exercise
def ex_36_rows(rows_of) -> str:
    """rows_of(rows, processes, rank) -> (first, count), as torch.chunk divides."""
    pairs = _pairs(rows_of)
    need_none(pairs, _ROW_MISTAKES, _equal)
    for (rows, processes), given in zip(_CASES, pairs):
        right = [EX_36_ROWS(rows, processes, rank) for rank in range(processes)]
        where = f"{rows} rows and {processes} processes"
        need(sum(count for _, count in given) == rows, f"{where}: some row has no owner, or two")
        for rank in range(processes):
            need(given[rank] == right[rank], f"{where}: process {rank} does not get {given[rank]}")
    return "every row has one owner"


def _pairs(rows_of) -> list[list[tuple]]:
    pairs = []
    for rows, processes in _CASES:
        given = [rows_of(rows, processes, rank) for rank in range(processes)]
        need(
            all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in given),
            "give two numbers: the first row, and how many there are",
        )
        pairs.append([tuple(pair) for pair in given])
    return pairs


def _equal(a, b) -> bool:
    return a == b


def _divided(share):
    """All cases by a rule: share(rows, processes, rank) -> (first, count)"""
    return lambda: [
        [share(rows, processes, rank) for rank in range(processes)] for rows, processes in _CASES
    ]


def _up(rows, processes) -> int:
    return -(-rows // processes)


def _last_takes_the_rest(rows, processes, rank):
    each = rows // processes
    return rank * each, rows - rank * each if rank == processes - 1 else each


def _spread(rows, processes, rank):
    each, more = divmod(rows, processes)
    return rank * each + min(rank, more), each + (rank < more)


_ROW_MISTAKES = [
    (
        _divided(lambda n, p, r: (r * (n // p), n // p)),
        "rows at the end have no owner; a share that is too long loses nothing",
    ),
    (
        _divided(_last_takes_the_rest),
        "you give what is left over to the last process, whose share is then the longest; here no "
        "share is longer than the first",
    ),
    (
        _divided(_spread),
        "you spread what is left over among the first processes; here all shares are as long as "
        "the first, as far as the rows last",
    ),
    (
        _divided(lambda n, p, r: (r * _up(n, p), _up(n, p))),
        "the last shares reach past the end of the tensor",
    ),
    (
        _divided(lambda n, p, r: (r * _up(n, p), min(_up(n, p), n - r * _up(n, p)))),
        "a process that is left with nothing has 0 rows, not fewer; and its first row is the "
        "number of all rows",
    ),
    (
        _divided(lambda n, p, r: (min(r * _up(n, p), n), min((r + 1) * _up(n, p), n))),
        "the second number is how many rows there are, not where they end",
    ),
    (
        _divided(lambda n, p, r: (r, len(range(r, n, p)))),
        "shares are consecutive rows; you deal them out like cards",
    ),
]

# --- reduce-scatter


@exercise
def ex_36_scatter(reduce_scatter) -> str:
    """reduce_scatter([(N k, D) of each of N processes]) -> [(k, D) of each of them]"""
    for processes, seed in ((2, 1), (4, 2)):
        gradients = [numbers(3 * processes, 5, seed=10 * seed + n) for n in range(processes)]
        given = reduce_scatter(gradients)
        need(
            isinstance(given, (list, tuple)) and len(given) == processes,
            f"give a list with one tensor for each of the {processes} processes",
        )
        need(all(isinstance(piece, torch.Tensor) for piece in given), "the list must hold tensors")
        need_none(list(given), _SCATTER_MISTAKES, _all_near, gradients)
        need_same(
            reduce_scatter, EX_36_SCATTER, _all_near, (gradients,),
            "these are not the rows of the mean; try two processes with gradients of two rows",
        )  # fmt: skip
    return "each process has its rows of the mean"


def _all_near(a, b) -> bool:
    return len(a) == len(b) and all(map(near, a, b))


def _rows(tensor: torch.Tensor, count: int) -> list:
    return list(tensor.chunk(count))


_SCATTER_MISTAKES = [
    (
        lambda g: _rows(sum(g), len(g)),
        "gradients that are only added up grow with the number of processes; the loss of the batch "
        "is a mean over them",
    ),
    (
        lambda g: [_rows(each, len(g))[n] for n, each in enumerate(g)],
        "each process keeps rows of its own gradient, and what the others have computed is lost",
    ),
    (
        lambda g: [sum(g) / len(g)] * len(g),
        "everybody gets the whole mean; that is an all-reduce, and takes as much memory as if "
        "nothing were divided",
    ),
    (
        lambda g: [sum(g) / len(g)][0].chunk(len(g))[::-1],
        "the right pieces in reversed order: the first process holds the first rows",
    ),
    (
        lambda g: [(sum(g) / len(g))[n :: len(g)] for n in range(len(g))],
        "the rows of a process are consecutive; you deal them out like cards",
    ),
    (
        lambda g: [_rows(g[0], len(g))[n] for n in range(len(g))],
        "you hand out the gradient of the first process alone",
    ),
]

# --- the fewest GPUs

_BLOCK, _ALL = 339_831_296, 20_430_401_088
_MODELS = (
    (_ALL, _BLOCK, 80e9), (_ALL, _BLOCK, 8e9), (10**9, 10**7, 2e9), (10**9, 10**7, 20e9),
    (1000, 10, 101),
)  # fmt: skip
_TOO_SMALL = ((_ALL, _BLOCK, 3e9), (_ALL, _BLOCK, 10 * _BLOCK))


@exercise
def ex_36_fewest(fewest) -> str:
    """fewest(parameters, block, memory) -> the number of processes, or None"""
    given = [fewest(*model) for model in _MODELS]
    need(
        all(isinstance(count, (int, float, NoneType)) for count in given),
        "give a number of processes",
    )
    need_none(given, _FEWEST_MISTAKES, _equal)
    need(None not in given, "here is a model that fits, and you say that none would do")
    need(all(count == int(count) for count in given), "there are no parts of a GPU: round up")
    for model, count in zip(_MODELS, given):
        need(
            count == EX_36_FEWEST(*model),
            f"for {model[0]:,} weights and GPUs of {model[2]:,.0f} bytes it is not {count}; write "
            "down what all must hold, and what is divided",
        )
    for model in _TOO_SMALL:
        need(
            fewest(*model) is None,
            f"{model[2] / 1e9:.1f} GB have no room beside the blocks, however many GPUs there are: "
            "then give None",
        )
    return "what is divided and what is not, both counted"


def _count(divided: float, common: float, rounded=math.ceil):
    """All models, with so many bytes a weight, and so many for each weight of a block"""
    return lambda: [
        rounded(divided * parameters / (memory - common * block))
        if memory > common * block
        else None
        for parameters, block, memory in _MODELS
    ]


_FEWEST_MISTAKES = [
    (_count(20, 0), "you leave out the blocks, which every process holds whole while it computes"),
    (
        _count(16, 10),
        "four numbers a weight are counted; is the average over time among them?",
    ),
    (_count(20, 10, math.floor), "with so few it does not quite fit: round up"),
    (_count(20, 8), "one gathered block is counted; while it computes, the next is on its way"),
    (
        _count(20, 4),
        "the gradients of a block are missing: they come whole before they are divided",
    ),
    (_count(20, 14), "gathered blocks are bf16; a number of theirs takes two bytes"),
    (_count(5, 10), "the five numbers are counted, not their bytes"),
]
