"""Chapter 03: a whole layer of the text encoder, attention and MLP."""

from types import SimpleNamespace

import torch

from ...config import TextEncoderConfig
from ...text_encoder import Layer
from ..answers import EX_03_GQA, EX_03_LAYER, EX_03_MLP, EX_03_NORM, EX_03_ROTARY
from .common import demand_shape, exercise, near, need, need_all, need_none, numbers


class _Case:
    """A layer of random weights; `parts` of attention and MLP are left, the others give 0."""

    def __init__(self, heads=6, groups=3, width=4, inner=20, tokens=5, batch=2,
                 parts=("attention", "mlp"), theta=100.0, eps=(0.01, 0.03)):  # fmt: skip
        D = heads * width
        config = TextEncoderConfig(
            hidden_size=D, num_attention_heads=heads, num_key_value_heads=groups,
            intermediate_size=inner, vocab_size=9, mrope_section=(width // 2, 0, 0),
        )  # fmt: skip
        self.layer = Layer(config).requires_grad_(False)
        self.layer.input_layernorm.eps, self.layer.post_attention_layernorm.eps = eps
        for number, weight in enumerate(self.layer.parameters()):
            weight.copy_(numbers(*weight.shape, seed=number) / weight.shape[-1] ** 0.5)
        ends = {"attention": self.layer.self_attn.o_proj, "mlp": self.layer.mlp.down_proj}
        for part in {*ends} - {*parts}:
            ends[part].weight.zero_()
        self.x, self.theta = 1 + 2 * numbers(batch, tokens, D), theta

    def called(self, my_layer):
        """What the answer gives, with a layer that cannot do it by itself."""
        parts = self.layer, self.layer.self_attn, self.layer.mlp
        for part in parts:
            part.forward = _refuse
        try:
            given = my_layer(self.layer, self.x, self.theta)
        finally:
            for part in parts:
                del part.forward
        demand_shape(given, self.x.shape, "of the shape of x, (B, T, D)")
        return given

    def right(self):
        return EX_03_LAYER(self.layer, self.x, self.theta)


def _refuse(*_args, **_kwargs):
    need(False, "the forward of the layer, of its attention and of its MLP are yours to write")


# ---- wrong layers


def _unturned(x, places, theta):
    return x


def _without_mask(q, k, v):
    group = q.shape[1] // k.shape[1]
    k, v = (heads.repeat_interleave(group, dim=1) for heads in (k, v))
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def _unscaled(q, k, v):
    return EX_03_GQA(q * q.shape[-1] ** 0.5, k, v)


def _layer(case, turns=(EX_03_ROTARY, EX_03_ROTARY, _unturned), attend=EX_03_GQA, norms=None,
           added=(True, True), take_turns=False, parallel=False):  # fmt: skip
    """The layer of a case with one thing changed; norms: of attention and of the MLP."""
    layer, x, places = case.layer, case.x, torch.arange(case.x.shape[1])
    attn, mlp, theta = layer.self_attn, layer.mlp, case.theta
    first, second = norms or (layer.input_layernorm, layer.post_attention_layernorm)
    y, K = _normed(first, x), attn.head_dim
    heads = []
    for project, turn in zip((attn.q_proj, attn.k_proj, attn.v_proj), turns):
        cut = project(y).unflatten(-1, (K, -1) if take_turns else (-1, K))
        cut = cut.transpose(-1, -2) if take_turns else cut
        heads.append(turn(cut.transpose(1, 2), places, theta))
    out = attn.o_proj(attend(*heads).transpose(1, 2).flatten(2))
    between = x + out if added[0] else out
    y = _normed(second, x if parallel else between)
    out = EX_03_MLP(y, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight)
    return between + out if added[1] else out


def _normed(norm, x):
    return x if norm is None else EX_03_NORM(x, norm.weight, norm.eps)


def _both(case, name):
    """One of the two norms in both places."""
    return (getattr(case.layer, name),) * 2


ATTENTION_HALF = (
    (lambda case: _layer(case, added=(False, True)), "what attention gives has to be added to x"),
    (lambda case: _layer(case, norms=(None, None)), "attention takes x as it is; normalise first"),
    (
        lambda case: _layer(case, norms=_both(case, "post_attention_layernorm")),
        "attention's copy is normalised by the weights of the other norm",
    ),
    (
        lambda case: _layer(case, turns=(_unturned,) * 3),
        "queries and keys are not turned to their places",
    ),
    (
        lambda case: _layer(case, turns=(EX_03_ROTARY, _unturned, _unturned)),
        "the queries are turned and the keys are not",
    ),
    (
        lambda case: _layer(case, turns=(EX_03_ROTARY,) * 3),
        "the values are turned, too; only queries and keys are",
    ),
    (
        lambda case: _layer(case, attend=_without_mask),
        "a token attends to later ones: the causal mask is missing",
    ),
    (
        lambda case: _layer(case, attend=_unscaled),
        "the scores are not divided by the root of K",
    ),
    (
        lambda case: _layer(case, take_turns=True),
        "the heads take turns in your cut; each head is K neighbouring numbers",
    ),
)
MLP_HALF = (
    (
        lambda case: _layer(case, added=(True, False)),
        "what the MLP gives replaces the stream; it has to be added to it",
    ),
    (lambda case: _layer(case, norms=(None, None)), "the MLP takes x as it is; normalise first"),
    (
        lambda case: _layer(case, norms=_both(case, "input_layernorm")),
        "the MLP's copy is normalised by the weights of the first norm; it has its own",
    ),
)
WHOLE = (
    (
        lambda case: _layer(case, parallel=True),
        "the MLP works on the x that came in; it gets the stream that attention has changed",
    ),
)
LAYER = (
    (
        lambda seen: near(seen.silent, seen.x),
        "with all weights of the last matrices 0, x has to come out as it came in: a layer only "
        "adds to it",
    ),
    (
        lambda seen: near(seen.mlp, seen.right_mlp),
        "where attention gives 0 the result is wrong, so the fault is in the MLP's half: norm, "
        "gated MLP, sum",
    ),
    (
        lambda seen: near(seen.attention, seen.right_attention),
        "where the MLP gives 0 the result is wrong, so the fault is in attention's half: norm, "
        "queries, keys and values in heads, turned, attention, heads side by side, last matrix, "
        "sum",
    ),
    (
        lambda seen: near(seen.whole, seen.right_whole),
        "each half alone is right, and together they are not",
    ),
)


@exercise
def ex_03_layer(my_layer) -> str:
    """my_layer(layer, x, theta): a whole layer of the text encoder."""
    silent, attention, mlp = _Case(parts=()), _Case(parts=("attention",)), _Case(parts=("mlp",))
    whole = _Case()
    seen = SimpleNamespace(
        x=silent.x, silent=silent.called(my_layer), attention=attention.called(my_layer),
        mlp=mlp.called(my_layer), whole=whole.called(my_layer), right_whole=whole.right(),
        right_attention=attention.right(), right_mlp=mlp.right(),
    )  # fmt: skip
    need_none(seen.mlp, MLP_HALF, near, mlp)
    need_none(seen.attention, ATTENTION_HALF, near, attention)
    need_none(seen.whole, WHOLE, near, whole)
    need_all(seen, LAYER)
    other = _Case(heads=7, groups=1, width=8, inner=6, tokens=9, batch=1, theta=7.0,
                  eps=(0.5, 0.2))  # fmt: skip
    need(
        near(other.called(my_layer), other.right()),
        "right for one size and not for another one; take T, K, the numbers of heads, theta and "
        "both eps from what you are given",
    )
    return "attention and MLP, each added to the stream; the tower is a stack of these"
