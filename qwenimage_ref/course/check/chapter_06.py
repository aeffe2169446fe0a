"""Chapter 06: one MMDiT block."""

import torch

from ..answers import EX_06_MASK, EX_06_MODULATION
from .common import exercise, need

B, T, I, H, K, D = 2, 4, 5, 3, 6, 7  # noqa: E741


def _numbers(*shape, seed=6):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _near(a, b) -> bool:
    return torch.allclose(a, b, atol=1e-5)


@exercise
def ex_06_modulation(residual) -> None:
    """residual(x, shift, scale, gate, part): one residual line of a block."""
    x = 2 + 3 * _numbers(B, T, D)
    shift, scale, gate = (_numbers(B, 1, D, seed=seed) for seed in (1, 2, 3))
    zero, one = torch.zeros(B, 1, D), torch.ones(B, 1, D)
    matrix = _numbers(D, D, seed=4)

    def as_it_is(y):
        return y

    def mix(y):
        return torch.tanh(y @ matrix)

    def call(x, *others):
        before = x.clone()
        given = residual(x, *others)
        need(torch.equal(x, before), "your function changes x itself; give a new tensor")
        need(
            isinstance(given, torch.Tensor) and given.shape == x.shape,
            "give a tensor of the shape of x, (B, S, D)",
        )
        return given

    closed = call(x, shift, scale, zero, mix)
    need(
        closed.abs().max() > 0 and not _near(closed, mix(zero.expand_as(x))),
        "with all gates 0 nothing of x is left; a gate closes the way through attention or MLP, "
        "not the way around it",
    )
    need(
        _near(closed, x) or not _near(closed, EX_06_MODULATION(x, zero, zero, one, as_it_is) - x),
        "with all gates 0 x comes out normalised; the way around stays as it is",
    )
    need(
        _near(closed, x),
        "with all gates 0 x has to come out untouched, and yours is changed",
    )
    plain = call(x, zero, zero, one, as_it_is) - x
    need(
        plain.abs().max() > 1e-5,
        "with shift and scale 0 nothing comes out of attention or MLP; a scale of 0 is to leave "
        "the size as it is",
    )
    need(not _near(plain, x), "x is not normalised before it is modulated")
    means, sizes = plain.mean(-1), plain.var(-1, correction=0)
    need(
        means.abs().max() < 1e-4,
        "after the norm the D numbers of each token have mean 0; yours have not: which axis?",
    )
    need(
        not torch.allclose(sizes, torch.full_like(sizes, (D - 1) / D), atol=1e-3),
        f"the variance of the norm divides by D, here {D}, and yours by {D - 1}",
    )
    need(
        torch.allclose(sizes, torch.ones_like(sizes), atol=1e-3),
        "after the norm the D numbers of each token have variance 1; yours have not",
    )
    tiny = x / 1000, zero, zero, one, as_it_is
    need(
        torch.allclose(call(*tiny), EX_06_MODULATION(*tiny), atol=1e-3),
        "right for numbers of usual size, not for tiny ones: 1e-6 is added to the variance, and "
        "before the root is taken",
    )
    moved = call(x, shift, zero, one, as_it_is) - x
    need(
        not _near(moved, plain * (1 + shift)),
        "shift and scale have changed places: shift is added, scale multiplies",
    )
    need(
        _near(moved, plain + shift),
        "a shift, with scale 0, is not what comes on top of the normalised x; the norm is first",
    )
    stretched = call(x, shift, scale, one, as_it_is) - x
    need(
        not _near(stretched, (plain + shift) * (1 + scale)),
        "the shift is scaled, too; scale first, then shift",
    )
    need(
        _near(stretched, plain * (1 + scale) + shift),
        "the normalised x with a scale and a shift is not right",
    )
    given, inner = call(x, shift, scale, gate, mix), plain * (1 + scale) + shift
    need(
        not _near(given, x + mix(gate * inner)),
        "the gate comes before attention or MLP; it belongs behind, on what they give",
    )
    need(
        not _near(given, x + mix(inner)),
        "the gate does nothing: gates of 1 and others give the same",
    )
    need(
        _near(given, x + gate * mix(inner)),
        "the gate is not used as it should: it multiplies what attention or MLP gives",
    )
    print("right: normalised, scaled, shifted, sent through, gated, added")


@exercise
def ex_06_mask(attend) -> None:
    """attend(q, k, v, real): joint attention in which nobody looks at padding."""
    q, k, v = (_numbers(B, H, T + I, K, seed=seed) for seed in (1, 2, 3))
    real = torch.tensor([[True, True, False, False], [True, True, True, False]])

    def call(k=k, v=v, q=q):
        given = attend(q, k, v, real)
        need(
            isinstance(given, torch.Tensor) and given.shape == q.shape,
            "give a tensor of the shape of q, (B, H, T + I, K)",
        )
        return given

    def other(tensor, b, s):
        """Whether token s of prompt b is noticed by anyone, if its key or value changes."""
        changed = (k if tensor == "k" else v).clone()
        changed[b, :, s] += 5
        return not _near(call(**{tensor: changed}), plain)

    plain = call()
    need(
        bool(plain.isfinite().all()) and bool(plain[0, :, 2:T].abs().amax() > 0),
        "the rows of the padding are empty: you hid the queries of the padding. It may ask what it "
        "likes, nobody reads it; hide its keys",
    )
    need(
        other("v", 0, 0),
        "a real word may change and nobody notices: true marks the words that are to be seen",
    )
    need(
        other("v", 1, 2),
        "a real word of the second prompt may change and nobody notices: look where it has padding",
    )
    need(
        other("v", 0, T) and other("v", 1, T + I - 1),
        "some tokens of the image are not looked at; only text can be padding, and it comes first",
    )
    need(
        not (other("v", 0, 2) and not other("k", 0, 2)),
        "padding still gets a share: its logit became 0, and e to the power of 0 is 1",
    )
    need(
        other("v", 1, 3) or not other("v", 0, 2),
        "only what is padding in every prompt is hidden; each prompt has padding of its own",
    )
    need(
        not (other("v", 0, 2) or other("v", 1, 3)),
        "padding is still looked at: change what it says, and the other tokens change",
    )
    need(
        _near(call(v=torch.ones_like(v)), torch.ones_like(v)),
        "the shares of a token no longer add up to 1; exclude padding before the softmax",
    )
    right = EX_06_MASK(q, k, v, real)
    need(
        not any(_near(plain, EX_06_MASK(factor * q, k, v, real)) for factor in (K**0.5, K**-0.5)),
        "the logits are not on their scale: the root of K is to divide them, once",
    )
    need(_near(plain, right), "the padding is out, but the attention itself is not right")
    print("right: everyone sees what is real, and no one sees padding")
