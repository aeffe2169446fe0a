"""Chapter 03: a language model as a reader."""

import torch

from ...config import TextEncoderConfig
from ...text_encoder import TextEncoder
from ..answers import EX_03_DROP, EX_03_GQA
from .common import exercise, need, need_same
from .text_layer import ex_03_layer  # noqa: F401
from .text_layer_steps import ex_03_mlp, ex_03_norm, ex_03_rotary  # noqa: F401

B, H, G, T, K, W = 2, 6, 3, 5, 8, 7  # no two alike; W is the width of a value
OTHERS = ((1, 28, 4, 6, 16, 16), (3, 5, 5, 3, 4, 4), (2, 9, 1, 1, 5, 3))  # 28/4 as in Qwen2.5-VL


@exercise
def ex_03_gqa(grouped_attention) -> str:
    """(B, H, T, K), (B, G, T, K), (B, G, T, W) -> (B, H, T, W), causal"""
    q, k, v = _tensors(B, H, G, T, K, W)
    out = _tensor(grouped_attention(q.clone(), k.clone(), v.clone()), (B, H, T, W))
    need(
        bool(out.isfinite().all()),
        "some numbers are NaN: a token that may read nothing at all has no weights; the first "
        "token may read itself",
    )
    sums = grouped_attention(q, k, torch.ones_like(v))[..., 0]
    _shares(sums)
    _no_future(grouped_attention, q, k, v)
    _groups(grouped_attention, q, k, v)
    for scale, hint in (
        (1.0, "the scores are not divided: with wide heads the largest would take everything"),
        (1 / K, "the scores are divided by too much: by the head's width, not by its square root"),
        ((H * K) ** -0.5, "the scores are scaled by the width of all heads; each works alone"),
        (W**-0.5, "the scores are scaled by the width of a value; they are made of q and k"),
        (
            T**-0.5,
            "the scores are scaled by the number of tokens; long texts would have flatter weights",
        ),
    ):
        need(not _near(out, EX_03_GQA(q * scale * K**0.5, k, v)), hint)
    right = EX_03_GQA(q, k, v)
    need(
        _near(out, right), f"shapes and mask are right, numbers not: off by {_gap(out, right):.2g}"
    )
    for sizes in OTHERS:
        others, (_, heads, groups, tokens, width, _) = _tensors(*sizes), sizes
        need_same(
            *(grouped_attention, EX_03_GQA, _near, others),
            f"right for {H} heads in {G} groups, not for {heads} in {groups} with {tokens} tokens "
            f"and heads {width} wide; take every size from q, k and v",
        )
    return "every query head uses its own group's keys and values, and no token sees a later one"


def _tensors(B: int, H: int, G: int, T: int, K: int, W: int) -> tuple[torch.Tensor, ...]:
    """-> q (B, H, T, K), k (B, G, T, K), v (B, G, T, W)"""
    generator = torch.Generator().manual_seed(3)
    shapes = (B, H, T, K), (B, G, T, K), (B, G, T, W)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _shares(sums) -> None:
    """Shares of attention, summed: one for every head and token."""
    off = (sums - 1).abs() > 1e-4
    need(
        not (off[:, :, :-1].any() and not off[:, :, -1].any()),
        "the last token's shares sum to 1, those of the others to less: what is hidden after the "
        "softmax has already taken its share",
    )
    need(
        not off.any(),
        "a reading token's shares do not sum to 1: along which axis does your softmax run?",
    )


def _no_future(attention, q, k, v) -> None:
    """A later token must not matter; an earlier one must."""

    def moved(token):
        other_k, other_v = k.clone(), v.clone()
        other_k[:, :, token] += 1
        other_v[:, :, token] += 1
        return (attention(q, other_k, other_v) - attention(q, k, v)).abs().amax((0, 1, 3)) > 1e-6

    last, first = moved(T - 1), moved(0)
    need(
        not (last[:-1].any() and not first[1:].any()),
        "each token reads itself and what comes later: the mask hides the past, not the future",
    )
    need(
        not last[:-1].any(),
        "a change in the last token reaches earlier ones: they were written before it",
    )
    need(bool(first.all()), "the first token is out of sight for a later one: all the past counts")


def _groups(attention, q, k, v) -> None:
    """Which query heads a change in key-value head 0 affects."""
    other = v.clone()
    other[:, 0] += 1
    felt = (attention(q, k, other) - attention(q, k, v)).abs().amax((0, 2, 3)) > 1e-6
    heads = felt.nonzero().flatten().tolist()
    need(
        heads != [*range(0, H, G)],
        f"key-value head 0 serves the query heads {heads}, as if they were dealt like cards; "
        "neighbours are to share one",
    )
    need(
        heads == [*range(H // G)],
        f"of {H} query heads and {G} key-value heads, head 0 serves {heads}: every key-value "
        f"head has {H // G} readers",
    )


@exercise
def ex_03_drop(read) -> str:
    """(text encoder, ids (B, T), number of template tokens) -> states (B, T - number, D)"""
    torch.manual_seed(3)
    config = TextEncoderConfig(
        num_hidden_layers=2,
        hidden_size=24,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=20,
        vocab_size=90,
        mrope_section=(1, 1, 1),
    )
    tower = TextEncoder(config).eval().requires_grad_(False)
    for batch, tokens, start in ((2, 17, 6), (3, 11, 4), (1, 5, 0)):
        _judge_cut(read, tower, torch.randint(90, (batch, tokens)), start)
    return "read first, cut afterwards"


def _judge_cut(read, tower, ids, start: int) -> None:
    """The answer for one batch of ids, of which the first `start` are the template."""
    (batch, tokens), states = ids.shape, tower(ids)
    answer = read(tower, ids, start)
    need(
        isinstance(answer, torch.Tensor), f"give the states, a tensor, not {type(answer).__name__}"
    )
    kept = answer.shape[1] if answer.dim() == 3 else None
    need(
        kept is not None and answer.shape[::2] == states.shape[::2],
        f"states are (B, T, D), here with B = {batch} and D = 24; yours are {tuple(answer.shape)}",
    )
    need(
        kept != tokens or not start,
        "nothing is cut off, only blanked: a state of zeros is still a token to the transformer",
    )
    need(kept == tokens - start, f"of {tokens} states, {start} of the template's, {kept} are left")
    if start:
        need(
            not _near(answer, states[:, :-start]),
            "that cuts the end off: the template stands before the prompt",
        )
        need(
            not _near(answer, tower(ids[:, start:])),
            "the right tokens, but the template was cut off before the encoder ran, so that their "
            "states do not depend on it",
        )
    embedded = tower.model.embed_tokens(ids)[:, start:]
    need(not _near(answer, embedded), "these are the embeddings, which have passed no layer yet")
    right = EX_03_DROP(tower, ids, start)
    need(_near(answer, right), "the right tokens, but not their final states")


def _tensor(out, shape: tuple) -> torch.Tensor:
    need(isinstance(out, torch.Tensor), f"the answer is a tensor, not {type(out).__name__}")
    need(
        out.shape != (B, G, *shape[2:]),
        f"{G} heads came back: every one of the {H} query heads has an answer of its own",
    )
    need(
        out.shape == shape,
        f"q is {(B, H, T, K)}, k {(B, G, T, K)}, v {(B, G, T, W)}; the answer is to be {shape}, "
        f"yours is {tuple(out.shape)}",
    )
    return out


def _gap(a, b) -> float:
    return (a - b).abs().max().item()


def _near(a, b) -> bool:
    return a.shape == b.shape and _gap(a, b) < 1e-4
