"""Chapter 25: control."""

import torch
import torch.nn.functional as F

from ..answers import EX_25_BLOCKWISE, EX_25_RESIDUAL, EX_25_STEERED
from .common import demand_shape, exercise, near, need, need_none, numbers, wrong_here

# --- which residual

_STACKS = ((60, 5), (60, 6), (8, 2), (60, 7), (10, 4), (5, 5), (7, 3), (9, 1))  # blocks, residuals


@exercise
def ex_25_residual(residual_number) -> str:
    """residual_number(block, blocks, count) -> number of the residual behind that block"""
    given = [
        [residual_number(block, *stack) for block in range(stack[0])] for stack in _STACKS
    ]  # fmt: skip
    whole = all(isinstance(n, int) and not isinstance(n, bool) for row in given for n in row)
    need(whole, "give the number of a residual, an integer from 0")
    need_none(given, _RESIDUAL_MISTAKES, _equal)
    for (blocks, count), row in zip(_STACKS, given):
        right = [EX_25_RESIDUAL(block, blocks, count) for block in range(blocks)]
        wrong = next((n for n in range(blocks) if row[n] != right[n]), None)
        need(
            wrong is None,
            f"behind block {wrong} of {blocks}, of {count} residuals number "
            f"{row[wrong or 0]} is not the one that is added",
        )
    return "every block has its residual, also where the numbers do not divide"


def _equal(a, b) -> bool:
    return a == b


def _all_by(rule):
    """All cases by a rule of (block, blocks, count)"""
    return lambda: [[rule(n, *stack) for n in range(stack[0])] for stack in _STACKS]


_RESIDUAL_MISTAKES = [
    (
        _all_by(lambda n, blocks, count: n // (blocks // count)),
        "60 blocks and 7 residuals: you round 60/7 down, and the last blocks need a residual "
        "that does not exist",
    ),
    (
        _all_by(lambda n, blocks, count: n // round(blocks / count)),
        "where the division has a remainder it is always rounded up, not to the nearest number",
    ),
    (
        _all_by(lambda n, blocks, count: n * count // blocks),
        "you spread the residuals evenly; upstream gives all of them the same number of blocks, "
        "and the last one what is left",
    ),
    (
        _all_by(lambda n, blocks, count: n % count),
        "neighbouring blocks share a residual; yours takes turns",
    ),
    (
        _all_by(lambda n, blocks, count: n // count),
        "you divide by the number of residuals, not by the number of blocks that share one",
    ),
    (
        _all_by(lambda n, blocks, count: min(n, count - 1)),
        "the first blocks have a residual each, and all others the last one; spread them out",
    ),
    (
        _all_by(lambda n, blocks, count: (n + 1) // -(-blocks // count)),
        "blocks are counted from 0, and you change to the next residual one block too early",
    ),
    (
        _all_by(lambda n, blocks, count: count - 1 - n // -(-blocks // count)),
        "the first residual belongs to the first blocks; yours begin with the last",
    ),
]

# --- a block of two linear layers

_SIZES = ((2, 3, 5, 7), (1, 4, 6, 3))  # B, I, D, and the number of the seed


@exercise
def ex_25_blockwise(added) -> str:
    """added(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out) -> (B, I, D)"""
    for case in _blockwise_cases():
        given = added(*case)
        demand_shape(given, tuple(case[0].shape), "like the image stream")
        need(
            not given.isnan().any(),
            "a token of zeros, of a network that is not trained yet, makes NaN; the epsilon keeps "
            "its root from being 0",
        )
        need_none(given, _BLOCKWISE_MISTAKES, near, *case)
        need(
            near(given, EX_25_BLOCKWISE(*case)),
            "this is not what the formula gives; compute one token of two numbers on paper",
        )
    return "two norms, two layers, and the exact GELU between them"


def _blockwise_cases():
    for B, I, D, seed in _SIZES:  # noqa: E741
        img, control = numbers(B, I, D, seed=seed), 2 * numbers(B, I, D, seed=seed + 20)
        img[:, 0] *= 1e-3  # small enough for the epsilon to matter
        control[:, 1] = 0
        weights = [numbers(*shape, seed=seed + 40 + n) for n, shape in
                   enumerate(((D,), (D,), (D, D), (D,), (D, D), (D,)))]  # fmt: skip
        yield img, control, *weights


def _normalised(x, weight, eps=1e-6, mean=False, outside=False):
    x = x - x.mean(-1, keepdim=True) if mean else x
    square = x.square().mean(-1, keepdim=True)
    return weight * x / (square.sqrt() + eps if outside else (square + eps).sqrt())


def _variant(
    img, control, x_rms, y_rms, w_in, b_in, w_out, b_out,
    norm=_normalised, gelu=F.gelu, rotated=False, biased=True, scaled=True,
):  # fmt: skip
    """The solution with one thing otherwise"""
    if not scaled:
        x_rms = y_rms = torch.ones_like(x_rms)
    both = norm(img, x_rms) + norm(control, y_rms)
    hidden = both @ (w_in if rotated else w_in.T) + b_in * biased
    return gelu(hidden) @ (w_out if rotated else w_out.T) + b_out * biased


def _with(**others):
    return lambda *case: _variant(*case, **others)


_BLOCKWISE_MISTAKES = [
    (
        _with(gelu=lambda x: F.gelu(x, approximate="tanh")),
        "this is the tanh approximation of the MMDiT's MLPs; these networks have the exact one",
    ),
    (_with(gelu=F.silu), "the function between the layers is GELU, not SiLU"),
    (_with(gelu=F.relu), "the function between the layers is GELU, not ReLU"),
    (
        _with(gelu=lambda x: x),
        "the function between the layers is missing; two linear layers alone are one",
    ),
    (
        _with(norm=lambda x, weight: _normalised(x, weight, mean=True)),
        "this norm takes no mean away: it only divides by how large the numbers are",
    ),
    (
        _with(norm=lambda x, weight: _normalised(x, weight, outside=True)),
        "the epsilon stands under the root; a small token shows the difference",
    ),
    (
        lambda img, control, x_rms, y_rms, *rest: _variant(
            img + control, torch.zeros_like(img), x_rms, y_rms, *rest
        ),
        "each stream has a norm of its own, and what is normalised is added",
    ),
    (
        lambda img, control, x_rms, y_rms, *rest: _variant(img, control, y_rms, x_rms, *rest),
        "the weights of the two norms are exchanged",
    ),
    (_with(scaled=False), "each norm has weights, x_rms and y_rms, with which it multiplies"),
    (
        _with(rotated=True),
        "the rows of a weight belong to outputs, as in torch.nn.Linear, so it is transposed",
    ),
    (_with(biased=False), "both layers have a bias"),
    (
        lambda img, *rest: img + EX_25_BLOCKWISE(img, *rest),
        "give what is added; the caller scales it and adds it to the image stream",
    ),
    (
        lambda img, control, *rest: EX_25_BLOCKWISE(img, torch.zeros_like(control), *rest),
        "the control picture has no effect on your result",
    ),
]

# --- several networks in one step


@exercise
def ex_25_steered(steered) -> str:
    """steered(blocks, img, txt, nets, step, steps) -> (I, D)"""
    for case in _steered_cases():
        given, right = steered(*case), EX_25_STEERED(*case)
        demand_shape(given, (4, 3), "with the image stream behind the last block")
        need_none(given, wrong_here(_STEERED_MISTAKES, right, near, *case), near, *case)
        need(
            near(given, right),
            f"in step {case[4]} of {case[5]} with windows "
            f"{', '.join(f'{start} to {end}' for *_, start, end in case[3])} this is not the image "
            "stream behind the last block; follow one block on paper",
        )
    return "all networks see one image stream, inside their windows alone"


def _block(number: int):
    def block(img, txt):
        mixed = torch.tanh(img @ numbers(3, 3, seed=number) + txt.mean(0))
        return img + mixed, txt + mixed.mean(0)

    return block


def _net(number: int):
    def add(i, img):
        return torch.sin((i + 2) * img + number)

    return add


def _steered_cases():
    blocks = [_block(n) for n in range(3)]
    img, txt = numbers(4, 3, seed=11), numbers(2, 3, seed=12)
    nets = [(_net(1), 0.7, 0.0, 1.0), (_net(2), -0.4, 0.25, 0.75), (_net(3), 1.3, 0.5, 1.0)]
    nets.append((_net(4), 0.9, 0.3, 0.7))
    for step in (2, 5, 3, 4, 6, 1, 7, 0):  # first those that tell most mistakes apart
        yield blocks, img, txt, nets, step, 8
    yield blocks[:2], img, txt, nets[:1], 0, 1
    yield blocks, img, txt, [], 3, 5
    for end in (0.8, 0.7):
        yield blocks[:1], img, txt, [(_net(4), 0.5, 0.3, end)], 2, 4


def _run(blocks, img, txt, nets, step, steps, acts=None, chain=False, scaled=True, when="behind"):
    """The solution with one thing otherwise"""
    rule = acts or (lambda start, end: start <= step / steps and (step + 1) / steps <= end)
    acting = [(add, scale if scaled else 1.0) for add, scale, *window in nets if rule(*window)]
    for i, block in enumerate(blocks):
        before = img
        if when == "before":
            img = img + sum(scale * add(i, img) for add, scale in acting)
        img, txt = block(img, txt)
        if when == "behind" and chain:
            for add, scale in acting:
                img = img + scale * add(i, img)
        elif when == "behind":
            img = img + sum(scale * add(i, img) for add, scale in acting)
        elif when == "stale":
            img = img + sum(scale * add(i, before) for add, scale in acting)
        elif when == "last" and i == len(blocks) - 1:
            img = img + sum(scale * add(i, img) for add, scale in acting)
    return img


def _other(**others):
    return lambda *case: _run(*case, **others)


def _window(rule):
    """rule(start, end, step, steps) -> whether a network acts"""
    return lambda *case: _run(*case, acts=lambda start, end: rule(start, end, *case[4:]))


def _averaged(blocks, img, txt, nets, step, steps):
    share = [(add, scale / max(1, len(nets)), *window) for add, scale, *window in nets]
    return _run(blocks, img, txt, share, step, steps)


_STEERED_MISTAKES = [
    (
        lambda *case: _run(*case, acts=lambda start, end: False),
        "no network adds anything, although one acts in this step",
    ),
    (
        _window(lambda start, end, step, steps: start <= step / steps <= end),
        "a step counts only if the whole of it lies inside the window, its end as well",
    ),
    (
        _window(lambda start, end, step, steps: start <= step / steps < end),
        "a step counts only if the whole of it lies inside the window, its end as well",
    ),
    (
        _window(lambda start, end, step, steps: start < step / steps and (step + 1) / steps <= end),
        "a step that begins where the window begins lies inside it",
    ),
    (
        _window(lambda start, end, step, steps: start <= step / steps and (step + 1) / steps < end),
        "a step that ends where the window ends lies inside it",
    ),
    (_other(acts=lambda start, end: True), "the windows have no effect: every network acts always"),
    (
        _other(chain=True),
        "the second network sees what the first has added; all of them start from the same image "
        "stream",
    ),
    (_other(scaled=False), "each network has a scale, with which you multiply what it adds"),
    (_other(when="before"), "networks act behind a block, and yours act before it"),
    (_other(when="stale"), "networks see the image stream behind the block, not the one before it"),
    (_other(when="last"), "networks act behind every block, not behind the last one alone"),
    (_averaged, "what several networks add is added up, not averaged"),
]
