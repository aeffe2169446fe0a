"""Chapter 06, steps to a block: heads, and joint attention."""

import torch
import torch.nn.functional as F

from ...rope import rotate
from ..answers import EX_06_HEADS, EX_06_JOINT
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers


def turns(tokens: int, width: int):
    """(S, K / 2) rotations by angles of every size"""
    return torch.polar(torch.ones(tokens, width // 2), 2 * numbers(tokens, width // 2, seed=9))


# ---- heads


def _rms(x, weight=1):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def _cut(x, heads):
    return x.unflatten(-1, (heads, -1))


HEADS = (  # wrong answers
    (
        lambda x, heads, weight, rotation: _rms(_cut(x, heads), weight),
        "the heads are cut and normalised, and not rotated to their places",
    ),
    (
        lambda x, heads, weight, rotation: rotate(_cut(x, heads), rotation),
        "the heads are rotated, and not normalised before",
    ),
    (
        lambda x, heads, weight, rotation: rotate(_rms(_cut(x, heads)), rotation),
        "the weight of the norm is missing: one number for each of the K channels of a head",
    ),
    (
        lambda x, heads, weight, rotation: _rms(rotate(_cut(x, heads), rotation), weight),
        "rotated first and normalised afterwards; the two do not commute, since the weight belongs "
        "to channels that the rotation mixes",
    ),
    (
        lambda x, heads, weight, rotation: rotate(_cut(_rms(x), heads) * weight, rotation),
        "the mean of the squares is taken over all D numbers of a token; each head has its own",
    ),
    (
        lambda x, heads, weight, rotation: rotate(
            F.layer_norm(_cut(x, heads), weight.shape, eps=1e-6) * weight, rotation
        ),
        "this norm subtracts no mean: it divides by the root of the mean square, and that is all",
    ),
    (
        lambda x, heads, weight, rotation: rotate(
            _rms(x.unflatten(-1, (-1, heads)).transpose(-1, -2).contiguous(), weight), rotation
        ),
        "the heads take turns in your cut; each head is K neighbouring numbers of the D",
    ),
)


@exercise
def ex_06_heads(heads_of) -> str:
    """heads_of(x, heads, weight, rotation): cut into heads, normalised, rotated."""
    for batch, tokens, heads, width in ((2, 5, 3, 8), (1, 7, 2, 14), (3, 1, 1, 6)):
        x, weight = numbers(batch, tokens, heads * width), 1 + numbers(width, seed=2) / 2
        arguments = x, heads, weight, turns(tokens, width)
        given = heads_of(*arguments)
        demand_shape(given, (batch, tokens, heads, width), "of shape (B, S, H, K)")
        need_none(given, HEADS if heads > 1 else (), near, *arguments)
        need(
            near(given, EX_06_HEADS(*arguments)),
            "not yet what a query is: cut the D numbers into heads of K, divide each head by the "
            "root of its mean square, multiply by the weight, rotate",
        )
        need_same(
            *(heads_of, EX_06_HEADS, near, (x / 1000, *arguments[1:])),
            "right for numbers of usual size, not for tiny ones: 1e-6 is added to the mean square, "
            "and before the root is taken",
        )
    return "cut, normalised within each head, rotated"


# ---- joint attention


def _attend(q, k, v, scale=None, axis=-1):
    logits = torch.einsum("bshk,brhk->bhsr", q, k) / (scale or q.shape[-1] ** 0.5)
    return torch.einsum("bhsr,brhk->bshk", logits.softmax(axis), v)


def _parted(answer, T):
    merged = answer.flatten(2)
    return merged[:, :T], merged[:, T:]


def _laid(txt, img):
    return [torch.cat(pair, dim=1) for pair in zip(txt, img)]


JOINT = (  # wrong answers
    (
        lambda txt, img: (_attend(*txt).flatten(2), _attend(*img).flatten(2)),
        "each stream sees only itself; keys and values of both have to be in one row",
    ),
    (
        lambda txt, img: (
            _attend(txt[0], *img[1:]).flatten(2),
            _attend(img[0], *txt[1:]).flatten(2),
        ),
        "each stream sees only the other one; every token sees every token, its own stream as well",
    ),
    (
        lambda txt, img: _parted(_attend(*_laid(txt, img), scale=1), txt[0].shape[1]),
        "the logits are not divided by the root of K",
    ),
    (
        lambda txt, img: _parted(_attend(*_laid(txt, img), scale=img[0].shape[-1]), len(txt[0][0])),
        "the logits are divided by K; it is the root of K",
    ),
    (
        lambda txt, img: _parted(_attend(*_laid(txt, img), axis=-2), txt[0].shape[1]),
        "the softmax runs over the queries; the weights of one query add up to 1, over the "
        "tokens that are looked at",
    ),
    (
        lambda txt, img: _parted(
            _attend(*_laid(txt, img)).transpose(-1, -2).contiguous(), txt[0].shape[1]
        ),
        "the heads are put together in the wrong order: first all K numbers of head 0, then those "
        "of head 1",
    ),
    (
        lambda txt, img: _parted(_attend(*_laid(txt, img)), img[0].shape[1]),
        "the row is cut at the wrong place: text comes first, so it is cut after T tokens",
    ),
)


def both_near(given, wrong) -> bool:
    return all(near(a, b) for a, b in zip(given, wrong))


@exercise
def ex_06_joint(joint) -> str:
    """joint(txt, img), each (q, k, v): every token sees every token of both streams."""
    for batch, heads, text, image, width in ((2, 3, 4, 5, 8), (1, 2, 9, 4, 6), (3, 1, 1, 12, 4)):
        txt, img = (
            tuple(2 * numbers(batch, tokens, heads, width, seed=seed + tokens) for seed in range(3))
            for tokens in (text, image)
        )
        given = joint(txt, img)
        need(isinstance(given, (tuple, list)) and len(given) == 2, "give two tensors: text, image")
        need(
            [one.shape[1] for one in given] != [image, text],
            "the two results have changed places; give the text's first",
        )
        for one, tokens, name in zip(given, (text, image), ("text", "image")):
            shape = batch, tokens, heads * width
            demand_shape(one, shape, f"for the {name} of shape (B, tokens, H K)")
        need_none(given, JOINT if heads > 1 else (), both_near, txt, img)
        need(
            both_near(given, EX_06_JOINT(txt, img)),
            "the shapes are right and the numbers are not; compare with `one_answer_by_hand`",
        )
    return "one row, one softmax over both streams, and two streams again"
