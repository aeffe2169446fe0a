"""Chapter 33: image to LoRA."""

import torch

from ..answers import EX_33_COUNT, EX_33_GRAM, EX_33_HANDED
from .common import demand_shape, exercise, near, need, need_none, numbers

# --- how many weights?

_MODELS = ((3072, 60, 5632, 64, 4), (192, 8, 459, 16, 2), (10, 1, 7, 3, 1), (10, 2, 0, 5, 3))


@exercise
def ex_33_count(count) -> str:
    """count(width, blocks, in_dim, compress, rank) -> the weights of the network without states"""
    given = [count(*model) for model in _MODELS]
    need(all(int(number) == number for number in given), "weights are counted: give an integer")
    need_none([float(number) for number in given], _COUNT_MISTAKES, _equal)
    for model, number in zip(_MODELS, given):
        need(
            number == EX_33_COUNT(*model),
            f"for width, blocks, in_dim, compress, rank = {model} it is not {number:,}; for each "
            "layer, write down its input and its output in widths, and the shapes of four matrices",
        )
    return "2,406,481,920 for the release named Style"


def _equal(a, b) -> bool:
    return a == b


def _counted(inputs=18, outputs=22, layers=12, bottlenecks=2, all_blocks=True, ranked=True):
    """All models, with so many widths of inputs and outputs in a block."""

    def count(width, blocks, in_dim, compress, rank):
        first = bottlenecks * layers * in_dim * compress
        last = compress * (inputs + outputs) * width * (rank if ranked else 1)
        return float((blocks if all_blocks else 1) * (first + last))

    return lambda: [count(*model) for model in _MODELS]


_COUNT_MISTAKES = [
    (_counted(all_blocks=False), "that is one block; each has a network of its own"),
    (_counted(bottlenecks=1), "A and B are written by a bottleneck each, with its own first map"),
    (_counted(ranked=False), "that writes a row of A and a column of B; there are rank of each"),
    (_counted(inputs=12), "the MLP's second layer has an input four times as wide"),
    (_counted(outputs=12), "the modulation's output is six times as wide: three numbers "
     "for attention and three for the MLP"),
    (_counted(inputs=9, outputs=11, layers=6), "that is one stream; text has the same layers"),
    (_counted(outputs=18), "inputs and outputs are not equally wide: count both"),
]  # fmt: skip

# --- the picture's vector


@exercise
def ex_33_gram(gram) -> str:
    """gram(latents (C, h, w)) -> (C + 1, C + 1)"""
    latents = numbers(3, 4, 6, seed=1)
    given = gram(latents)
    need(
        not isinstance(given, torch.Tensor) or given.shape != (3, 3),
        "without a channel of ones the channels' means are not in it",
    )
    demand_shape(given, (4, 4), "with a row and a column for each channel and one for the ones")
    need_none(given, _GRAM_MISTAKES, near, latents)
    right = EX_33_GRAM(latents)
    need(
        near(given, right), "each number is the mean, over all places, of a product of two channels"
    )
    moved = latents.flip(1).flip(2)
    need(
        near(gram(moved), right), "the places are not to matter: turned around, it must be the same"
    )
    other = numbers(5, 2, 2, seed=2)
    need(near(gram(other), EX_33_GRAM(other)), "it must fit latents of another size, too")
    return "what is painted, wherever on the picture"


def _with_ones(latents, first=False):
    flat = latents.flatten(1)
    ones = torch.ones(1, flat.shape[1])
    return torch.cat([ones, flat] if first else [flat, ones])


def _products(channels, count=None):
    return channels @ channels.T / (count or channels.shape[1])


def _centred(latents):
    flat = latents.flatten(1)
    return _with_ones((flat - flat.mean(1, keepdim=True)).view_as(latents))


_GRAM_MISTAKES = [
    (lambda x: _products(_with_ones(x), 1), "that is a sum, which grows with the picture; average"),
    (
        lambda x: _products(_with_ones(x), x.numel()),
        "divided by channels, too; the mean is over places",
    ),
    (lambda x: _products(_with_ones(x, first=True)), "the ones come last, behind the channels"),
    (
        lambda x: _products(_centred(x)),
        "the means are taken off, and with them the overall colour; the ones are there to keep it",
    ),
    (
        lambda x: torch.corrcoef(_with_ones(x)).nan_to_num(),
        "a correlation forgets how strong a channel is, and a style is that as well",
    ),
    (
        lambda x: (
            torch.cat([x, torch.zeros(1, *x.shape[1:])]).flatten(1)
            @ torch.cat([x, torch.zeros(1, *x.shape[1:])]).flatten(1).T
            / (x.shape[1] * x.shape[2])
        ),
        "the last channel is made of zeros and says nothing",
    ),
]

# --- several pictures

_SIZES = ((2, 5, 4), (3, 5, 4), (1, 5, 4))  # rank, input, output


@exercise
def ex_33_joined(joined) -> str:
    """joined([(A (r, in), B (out, r)) of each of N pictures]) -> A, B whose product is the mean"""
    loras = [
        (numbers(r, i, seed=10 + n), numbers(o, r, seed=20 + n))
        for n, (r, i, o) in enumerate(_SIZES)
    ]
    given = joined(loras)
    need(
        isinstance(given, (tuple, list)) and len(given) == 2,
        "give two matrices, A and B",
    )
    A, B = given
    demand_shape(A, (6, 5), "whose rows are those of all A")
    demand_shape(B, (4, 6), "whose columns are those of all B")
    mean = sum(B @ A for A, B in loras) / len(loras)
    need_none(B @ A, _JOINED_MISTAKES, near, loras)
    need(near(B @ A, mean), "the product must be the mean of the products, B A of each picture")
    (alone,) = loras[:1]
    need(
        all(near(*pair) for pair in zip(joined([alone]), alone)),
        "of a single picture nothing is to be changed",
    )
    return "the product is the mean of the products"


def _product(A, B):
    return B @ A


_JOINED_MISTAKES = [
    (
        lambda loras: sum(map(lambda pair: _product(*pair), loras)),
        "that is the sum of all; each picture counts as one of N",
    ),
    (
        lambda loras: sum(B @ A for A, B in loras) / len(loras) ** 2,
        "divided twice, in A and in B; once is enough",
    ),
    (
        lambda loras: torch.cat([B for _, B in loras], 1) @ torch.cat([A for A, _ in loras][::-1]),
        "the rows of A stand in another order than the columns of B",
    ),
    (
        lambda loras: (
            torch.cat([B for _, B in loras], 1)
            @ torch.cat([A for A, _ in loras][::-1])
            / len(loras)
        ),
        "the rows of A stand in another order than the columns of B",
    ),
    (
        lambda loras: sum(B @ A for A, B in loras) / sum(len(A) for A, _ in loras),
        "divided by the rank, not by the number of pictures",
    ),
]

# --- a gradient that is handed on


@exercise
def ex_33_handed(handed) -> str:
    """handed([tensor], [slope or None]) -> () with value 0 and those gradients"""
    source = numbers(2, 3, seed=5).requires_grad_(True)
    tensors = [2 * source, source.T @ source, source.sum(1), source.exp()]
    slopes = [numbers(*tensor.shape, seed=30 + n) for n, tensor in enumerate(tensors)]
    slopes[2] = None
    value = handed(tensors, slopes)
    need(
        isinstance(value, torch.Tensor) and value.numel() == 1,
        f"give one number, a tensor that can be differentiated, not {type(value).__name__}",
    )
    need(value.requires_grad, "no gradient reaches what the tensors were made of")
    got = torch.autograd.grad(value, tensors, allow_unused=True, retain_graph=True)
    for mine, slope in zip(got, slopes):
        if slope is None:
            need(mine is None or not mine.any(), "a tensor without a slope must get no gradient")
            continue
        need(mine is not None, "a tensor that has a slope gets no gradient")
        need(not near(mine, -slope), "the gradient has the wrong sign")
        need(
            not near(mine, slope / slope.numel()),
            "an average over numbers makes the gradient smaller: add up",
        )
        need(near(mine, slope), "the gradient by each tensor must be its slope, and nothing more")
    (whole,) = torch.autograd.grad(value, source, retain_graph=True)
    (right,) = torch.autograd.grad(EX_33_HANDED(tensors, slopes), source)
    need(near(whole, right), "what the tensors were made of gets another gradient")
    need(
        abs(value.item()) < 1e-6,
        "the gradients are right, the value is not: it should be zero, so that a loss may be added",
    )
    learned = numbers(2, 3, seed=6).requires_grad_(True)
    followed = handed([source], [learned * 2])
    (through,) = torch.autograd.grad(followed, learned, allow_unused=True)
    need(
        through is None or not through.any(),
        "the slopes are numbers that were computed before; no gradient belongs to them",
    )
    return "the gradient of the adapter has become that of its writer"
