"""Chapter 95: what Qwen-Image-2.1 changed."""

import math

import torch
import torch.nn.functional as F

from ...mmdit import layer_norm
from ...rope import rotate, rotations
from ..answers import EX_95_CACHED, EX_95_SAVED, EX_95_VISIBLE
from ..single_stream import Block
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers

# --- who sees whom

_LAYOUTS = ([2, (1, 3), 1, (2, 2)], [(2, 1), (1, 3), 2, (2, 3)], [4, (3, 2)], [3, (1, 2), 2])


@exercise
def ex_95_visible(visible) -> str:
    """visible(layout) -> (S, S) bool, rows see columns"""
    masks = [visible(list(layout)) for layout in _LAYOUTS]
    for layout, mask in zip(_LAYOUTS, masks):
        size = sum(_lengths(layout))
        demand_shape(mask, (size, size), "with a row and a column for each token")
        need(mask.dtype == torch.bool, f"give true and false, torch.bool, not {mask.dtype}")
    need_none(masks, _VISIBLE_MISTAKES, _all_equal)
    for layout, mask in zip(_LAYOUTS, masks):
        need(
            torch.equal(mask, EX_95_VISIBLE(layout)),
            f"{layout}: some token sees too much or too little; go through it row by row",
        )
    return "text sees what is before it, an image also all of itself"


def _all_equal(a, b) -> bool:
    return all(map(torch.equal, a, b))


def _layouts(rule):
    return lambda: [rule(layout) for layout in _LAYOUTS]


def _lengths(layout) -> list[int]:
    return [part if isinstance(part, int) else math.prod(part) for part in layout]


def _mask(layout, before=True, own_image=True, own_text=False, images_together=False):
    sizes = torch.tensor(_lengths(layout))
    part = torch.repeat_interleave(sizes)
    image = torch.tensor([not isinstance(each, int) for each in layout])[part]
    at = torch.arange(len(part))
    same = part.unsqueeze(1) == part
    mask = (at.unsqueeze(1) >= at) if before else same & (at.unsqueeze(1) >= at)
    if own_image:
        mask = mask | same & image
    if own_text:
        mask = mask | same & ~image
    return mask | image.unsqueeze(1) & image if images_together else mask


_VISIBLE_MISTAKES = [
    (
        _layouts(lambda layout: _mask(layout, own_image=False)),
        "that is the causal mask of a language model; the tokens of one image see each other, in "
        "both directions",
    ),
    (
        _layouts(lambda layout: _mask(layout).T),
        "rows and columns are exchanged: a row says what its token may see",
    ),
    (
        _layouts(lambda layout: _mask(layout, own_text=True)),
        "text is treated like an image; its tokens see only those before them",
    ),
    (
        _layouts(lambda layout: _mask(layout, images_together=True)),
        "an image sees a later image; each image is a block of its own",
    ),
    (
        _layouts(lambda layout: _mask(layout, before=False)),
        "each part sees itself alone; what stands before it in the sequence should be seen too",
    ),
    (
        _layouts(lambda layout: torch.ones_like(_mask(layout))),
        "all tokens see all: that is the attention of the 20B model, and nothing could be kept",
    ),
    (
        _layouts(lambda layout: ~_mask(layout)),
        "true and false are exchanged: true is where a token may see another",
    ),
    (
        _layouts(
            lambda layout: _mask(layout) & ~torch.eye(sum(_lengths(layout)), dtype=torch.bool)
        ),
        "no token sees itself; each should",
    ),
]

# --- what is saved

_EDITS = ((4396, 4096, 40), (100, 4096, 40), (41_160, 4096, 40), (64, 64, 8), (300, 64, 3))


@exercise
def ex_95_saved(saved) -> str:
    """saved(conditions, target, steps) -> how many times less work"""
    given = [saved(*edit) for edit in _EDITS]
    need(all(isinstance(x, (int, float)) for x in given), "give one number")
    need_none(given, _SAVED_MISTAKES, _all_close)
    for edit, x in zip(_EDITS, given):
        need(
            math.isclose(x, EX_95_SAVED(*edit), rel_tol=1e-9),
            "for {} condition tokens, {} of the target and {} steps it is not {:.4g}; count the "
            "tokens that each step computes".format(*edit, x),
        )
    need(saved(50, 70, 1) == 1, "one step alone saves nothing: there is no earlier one")
    need(saved(0, 64, 8) == 1, "without conditions nothing is saved")
    return "the first step computes all tokens, every other the target's"


def _all_close(a, b) -> bool:
    return all(math.isclose(x, y, rel_tol=1e-9) for x, y in zip(a, b))


def _edits(rule):
    return lambda: [rule(*edit) for edit in _EDITS]


_SAVED_MISTAKES = [
    (
        _edits(lambda c, t, n: (c + t) / t),
        "that is what a later step saves; the first has nothing stored, and computes everything",
    ),
    (
        _edits(lambda c, t, n: (c + n * t) / (n * (c + t))),
        "upside down: with the cache there is less work, so the number is above 1",
    ),
    (
        _edits(lambda c, t, n: n * (c + t) ** 2 / ((c + t) ** 2 + (n - 1) * t**2)),
        "the target still attends to all keys, those of the conditions too; only its own queries "
        "are left, so that work grows with the number of queries and not with its square",
    ),
    (
        _edits(lambda c, t, n: n * (c + t) / (c + t + n * t)),
        "the first step is counted twice: as a whole one and as one from the cache",
    ),
    (
        _edits(lambda c, t, n: n * (c + t) / (n * c + t)),
        "conditions and target are exchanged: what is kept belongs to the conditions",
    ),
    (
        _edits(lambda c, t, n: n * (c + t) - (c + n * t)),
        "that is a difference; how many times less is a ratio",
    ),
    (
        _edits(lambda c, t, n: n),
        "the steps that follow are not free: the target is computed in each",
    ),
]

# --- a block from the cache

_DIM = 24
_AXES = {2: (4, 4, 4), 3: (4, 2, 2)}  # heads: head dims that turn with each axis


@exercise
def ex_95_cached(cached) -> str:
    """cached(block, x, modulation, rotation, before) -> (B, I, D)"""
    for heads, batch, prefix, target in ((2, 1, 5, 4), (3, 2, 3, 6)):
        arguments = _step(heads, batch, prefix, target)
        given = cached(*arguments)
        demand_shape(given, (batch, target, _DIM), "(B, I, D), the target's tokens")
        need_none(given, _CACHED_MISTAKES, near, *arguments)
        need_same(
            cached, EX_95_CACHED, near, arguments,
            "the target's tokens are not those of the whole block; compare queries, keys, values "
            "and gates one by one with what the page says of them",
        )  # fmt: skip
    return "the same tokens as from the whole sequence"


def _step(heads: int, batch: int, prefix: int, target: int) -> tuple:
    """One block's arguments: what it keeps comes from a run over the conditions alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(95)
        block = Block(_DIM, heads).requires_grad_(False)
    for norm in (block.attn.norm_q, block.attn.norm_k):
        norm.weight.copy_(1 + 0.3 * numbers(_DIM // heads, seed=7))
    rotation = _turns(prefix + target, heads)
    x = numbers(batch, prefix + target, _DIM, seed=prefix)
    rows = [numbers(batch, 1, _DIM, seed=10 + n).expand(-1, prefix, -1) for n in range(4)]
    _, before = block(x[:, :prefix], rows, rotation[:prefix])
    modulation = [numbers(batch, 1, _DIM, seed=20 + n).expand(-1, target, -1) for n in range(4)]
    return block, x[:, prefix:], modulation, rotation[prefix:], before


def _with(
    tanh=True, plus=1, turn=True, turn_again=False, seen="all", order=(0, 1, 2, 3), norm=True
):
    """The step with one thing done otherwise."""

    def step(block, x, modulation, rotation, before):
        scale, gate, scale2, gate2 = (modulation[n] for n in order)
        gate, gate2 = (gate.tanh(), gate2.tanh()) if tanh else (gate, gate2)
        attn, heads = block.attn, before[0].shape[2]
        normed = layer_norm(x) * (plus + scale)
        q, k, v = (
            to(normed).unflatten(-1, (heads, -1)) for to in (attn.to_q, attn.to_k, attn.to_v)
        )
        q, k = (attn.norm_q(q), attn.norm_k(k)) if norm else (q, k)
        q, k = (rotate(q, rotation), rotate(k, rotation)) if turn else (q, k)
        first = rotate(before[0], _turns(before[0].shape[1], heads)) if turn_again else before[0]
        keys = {"all": [first, k], "conditions": [first], "target": [k]}[seen]
        values = {"all": [before[1], v], "conditions": [before[1]], "target": [v]}[seen]
        k, v = torch.cat(keys, dim=1), torch.cat(values, dim=1)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate * attn.to_out(out)
        return x + gate2 * block.img_mlp(layer_norm(x) * (plus + scale2))

    return step


def _turns(tokens: int, heads: int):
    """Rotations of tokens on a line that is no axis: (tokens, K / 2)"""
    at = torch.arange(tokens).unsqueeze(1) * torch.tensor([1, 2, 3])
    return rotations(at, _AXES[heads])


_CACHED_MISTAKES = [
    (_with(tanh=False), "the gates are taken as they are; 2.1 puts them through a tanh"),
    (
        _with(plus=0),
        "layer_norm's output is multiplied by the scale itself; a scale of 0 should change nothing",
    ),
    (_with(turn=False), "queries and keys of the target are not rotated to its positions"),
    (
        _with(turn_again=True),
        "the stored keys are rotated a second time; they were stored with their positions",
    ),
    (
        _with(seen="target"),
        "the target sees itself alone: what was stored is not used",
    ),
    (
        _with(seen="conditions"),
        "the target sees the conditions alone; its own tokens are missing among keys and values",
    ),
    (
        _with(order=(2, 3, 0, 1)),
        "the two halves of the modulation are exchanged: attention comes first",
    ),
    (
        _with(order=(1, 0, 3, 2)),
        "scale and gate are exchanged: they come in the order scale, gate, scale, gate",
    ),
    (_with(norm=False), "queries and keys are not normalised before they are rotated"),
]
