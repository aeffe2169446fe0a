"""Chapter 06: one MMDiT block."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from ..answers import EX_06_MASK, EX_06_MODULATION
from .block import ex_06_block  # noqa: F401
from .common import exercise, need, need_all, need_none, need_same
from .joint_attention import ex_06_heads, ex_06_joint, near, numbers  # noqa: F401

B, T, I, H, K, D = 2, 4, 5, 3, 6, 7  # noqa: E741


# ---- modulation


def _norm(x):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _as_it_is(y):
    return y


def _mix(y):
    """Stands in for attention or MLP."""
    return torch.tanh(y @ numbers(D, D, seed=4))


ZERO, ONE = torch.zeros(B, 1, D), torch.ones(B, 1, D)
CLOSED_GATES = (  # wrong answers with all gates 0
    (
        torch.zeros_like,
        "with all gates 0 nothing of x is left; a gate closes the way through attention or MLP, "
        "not the way around it",
    ),
    (
        lambda x: _mix(torch.zeros_like(x)),
        "with all gates 0 nothing of x is left; a gate closes the way through attention or MLP, "
        "not the way around it",
    ),
    (_norm, "with all gates 0 x comes out normalised; the way around stays as it is"),
)
NORM = (  # facts of the branch with shift and scale 0 around an identity
    (
        lambda seen: near(seen.doubled, 2 * seen.branch),
        "a gate twice as large has to add twice as much, and yours adds another amount: the gate "
        "multiplies as it comes, without a function around it",
    ),
    (
        lambda seen: seen.branch.abs().max() > 1e-5,
        "with shift and scale 0 nothing comes out of attention or MLP; a scale of 0 is to leave "
        "the size as it is",
    ),
    (
        lambda seen: not near(seen.branch, seen.x),
        "x is not normalised before it is modulated",
    ),
    (
        lambda seen: seen.branch.mean(-1).abs().max() < 1e-4,
        "after the norm the D numbers of each token have mean 0; yours have not: which axis?",
    ),
    (
        lambda seen: not _variance_is(seen.branch, (D - 1) / D),
        f"the variance of the norm divides by D, here {D}, and yours by {D - 1}",
    ),
    (
        lambda seen: _variance_is(seen.branch, 1),
        "after the norm the D numbers of each token have variance 1; yours have not",
    ),
    (
        lambda seen: torch.allclose(seen.tiny, seen.x / 1000 + _norm(seen.x / 1000), atol=1e-3),
        "right for numbers of usual size, not for tiny ones: 1e-6 is added to the variance, and "
        "before the root is taken",
    ),
)
SHIFTED = (  # wrong branches with a shift, and scale 0
    (
        lambda normed, shift: normed * (1 + shift),
        "shift and scale have changed places: shift is added, scale multiplies",
    ),
)
SCALED = (  # wrong branches with shift and scale
    (
        lambda normed, shift, scale: (normed + shift) * (1 + scale),
        "the shift is scaled, too; scale first, then shift",
    ),
)
GATED = (  # wrong answers of the whole line
    (
        lambda x, inner, gate: x + _mix(gate * inner),
        "the gate comes before attention or MLP; it belongs behind, on what they give",
    ),
    (
        lambda x, inner, gate: x + _mix(inner),
        "the gate does nothing: gates of 1 and others give the same",
    ),
)


def _variance_is(y, value: float) -> bool:
    sizes = y.var(-1, correction=0)
    return torch.allclose(sizes, torch.full_like(sizes, value), atol=1e-3)


def _called(residual, x, *others):
    """The answer, which must be a tensor of the shape of x."""
    given = residual(x, *others)
    need(
        isinstance(given, torch.Tensor) and given.shape == x.shape,
        "give a tensor of the shape of x, (B, S, D)",
    )
    return given


@exercise
def ex_06_modulation(residual) -> str:
    """residual(x, shift, scale, gate, part): one residual line of a block."""
    x = 2 + 3 * numbers(B, T, D)
    shift, scale, gate = (numbers(B, 1, D, seed=seed) for seed in (1, 2, 3))
    closed = _called(residual, x, shift, scale, ZERO, _mix)
    need_none(closed, CLOSED_GATES, near, x)
    need(near(closed, x), "with all gates 0 x has to come out untouched, and yours is changed")
    branch = _called(residual, x, ZERO, ZERO, ONE, _as_it_is) - x
    doubled = _called(residual, x, ZERO, ZERO, 2 * ONE, _as_it_is) - x
    tiny = _called(residual, x / 1000, ZERO, ZERO, ONE, _as_it_is)
    need_all(SimpleNamespace(x=x, branch=branch, doubled=doubled, tiny=tiny), NORM)
    moved = _called(residual, x, shift, ZERO, ONE, _as_it_is) - x
    need_none(moved, SHIFTED, near, branch, shift)
    need(
        near(moved, branch + shift),
        "a shift, with scale 0, is not what comes on top of the normalised x; the norm is first",
    )
    inner = _called(residual, x, shift, scale, ONE, _as_it_is) - x
    need_none(inner, SCALED, near, branch, shift, scale)
    need(
        near(inner, branch * (1 + scale) + shift),
        "the normalised x with a scale and a shift is not right",
    )
    given = _called(residual, x, shift, scale, gate, _mix)
    need_none(given, GATED, near, x, inner, gate)
    need(
        near(given, EX_06_MODULATION(x, shift, scale, gate, _mix)),
        "the gate is not used as it should: it multiplies what attention or MLP gives",
    )
    _other_sizes(residual)
    return "normalised, scaled, shifted, sent through, gated, added"


def _other_sizes(residual) -> None:
    for batch, tokens, width in ((1, 9, 16), (3, 1, 5)):
        wide = 2 + 3 * numbers(batch, tokens, width)
        turns = [numbers(batch, 1, width, seed=seed) for seed in (1, 2, 3)]
        need_same(
            *(residual, EX_06_MODULATION, near, (wide, *turns, torch.tanh)),
            f"right for {T} tokens of width {D}, not for {tokens} of width {width}",
        )


# ---- padding


class _Padded:
    """An answer on two prompts with padding, and which tokens are noticed by any other."""

    def __init__(self, attend):
        self.attend = attend
        self.q, self.k, self.v = (numbers(B, H, T + I, K, seed=seed) for seed in (1, 2, 3))
        self.real = torch.tensor([[True, True, False, False], [True, True, True, False]])
        self.plain = self.call()

    def call(self, **changed):
        tensors = {"q": self.q, "k": self.k, "v": self.v} | changed
        given = self.attend(tensors["q"], tensors["k"], tensors["v"], self.real)
        need(
            isinstance(given, torch.Tensor) and given.shape == self.q.shape,
            "give a tensor of the shape of q, (B, H, T + I, K)",
        )
        return given

    def noticed(self, b: int, s: int, tensor="v") -> bool:
        """Whether anything changes when the value or key of token s of prompt b does."""
        changed = getattr(self, tensor).clone()
        changed[b, :, s] += 5
        return not near(self.call(**{tensor: changed}), self.plain)

    def right(self, factor: float = 1):
        return EX_06_MASK(factor * self.q, self.k, self.v, self.real)


PADDING = (
    (
        lambda seen: bool(seen.plain.isfinite().all()) and seen.plain[0, :, 2:T].abs().amax() > 0,
        "the rows of the padding are empty: you hid the queries of the padding. They do no "
        "harm, as their results are never used; hide its keys",
    ),
    (
        lambda seen: seen.noticed(0, 0),
        "a change in a real word has no effect: true marks the words that are to be seen",
    ),
    (
        lambda seen: seen.noticed(1, 2),
        "a change in a real word of the second prompt has no effect: look where it has padding",
    ),
    (
        lambda seen: seen.noticed(0, T) and seen.noticed(1, T + I - 1),
        "some tokens of the image are not looked at; only text can be padding, and it comes first",
    ),
    (
        lambda seen: not seen.noticed(0, 2) or seen.noticed(0, 2, "k"),
        "padding still gets a share: its logit became 0, and e to the power of 0 is 1",
    ),
    (
        lambda seen: seen.noticed(1, 3) or not seen.noticed(0, 2),
        "only what is padding in every prompt is hidden; each prompt has padding of its own",
    ),
    (
        lambda seen: not seen.noticed(0, 2) and not seen.noticed(1, 3),
        "padding is still looked at: change what it says, and the other tokens change",
    ),
    (
        lambda seen: near(seen.call(v=torch.ones_like(seen.v)), torch.ones_like(seen.v)),
        "the shares of a token no longer add up to 1; exclude padding before the softmax",
    ),
    (
        lambda seen: not any(near(seen.plain, seen.right(k)) for k in (K**0.5, K**-0.5)),
        "the logits are not on their scale: the root of K is to divide them, once",
    ),
    (
        lambda seen: near(seen.plain, seen.right()),
        "the padding is out, but the attention itself is not right",
    ),
)


@exercise
def ex_06_mask(attend) -> str:
    """attend(q, k, v, real): joint attention in which no token attends to padding."""
    need_all(_Padded(attend), PADDING)
    for batch, heads, text, image, width in ((3, 2, 7, 12, 9), (1, 1, 3, 1, 4)):
        shape = batch, heads, text + image, width
        q, k, v = (numbers(*shape, seed=seed) for seed in (1, 2, 3))
        real = torch.arange(text) < 2 + torch.arange(batch)[:, None]
        need_same(
            *(attend, EX_06_MASK, near, (q, k, v, real)),
            f"right for {T} tokens of text and {I} of the image, not for {text} and {image} with "
            f"heads {width} wide; take every size from the tensors",
        )
    return "everyone sees what is real, and no one sees padding"
