"""Chapter 10: LoRA."""

from types import SimpleNamespace

import torch

from ..answers import EX_10_LORA, EX_10_STILL
from .common import exercise, need, need_all, need_same


@exercise
def ex_10_lora(lora_linear) -> str:
    """A linear layer with its pair, y (N, out) from x (N, in), within 1e-5."""
    N, in_, out, rank, alpha = 5, 7, 11, 3, 12.0
    x, W, b, A, B = _pair(N, in_, out, rank)
    try:
        answer = lora_linear(x, W, b, A, B, alpha)
    except NotImplementedError:  # a RuntimeError, too, that says that nothing is written yet
        raise
    except (RuntimeError, IndexError) as error:
        need(False, f"the sizes do not meet ({error}); x goes through A first, (3, 7), then B")
    need(
        isinstance(answer, torch.Tensor) and answer.shape == (N, out),
        f"{N} inputs of {in_} numbers should give {N} outputs of {out}",
    )
    right, plain = EX_10_LORA(x, W, b, A, B, alpha), x @ W.T + b
    need(not _near(answer, plain), "that is the layer without its pair: nothing was added")
    share = right - plain
    need(not _near(answer, share), "that is the pair alone: the layer itself is missing")
    need(not _near(answer, right - b), "the bias is missing")
    for factor, hint in (
        (rank / alpha, "the pair counts once, whatever alpha says"),
        (rank, "the pair counts alpha times: too strong by the number of rows of A"),
        (rank / in_, "alpha is divided by the wrong size: how many inputs there are says nothing"),
        (rank / out, "alpha is divided by the wrong size: how many outputs there are says nothing"),
        (alpha / rank, "the pair is scaled twice, once for A and once for B"),
        ((rank / alpha) ** 2, "the fraction stands upside down: a larger alpha should count more"),
    ):
        need(not _near(answer, plain + factor * share), hint)
    scaled = alpha / rank * plain + share
    need(not _near(answer, scaled), "the layer itself is scaled, too; only the pair should be")
    need(_near(answer, right), "some numbers differ from W x + b and the scaled pair beside it")
    stronger = lora_linear(x, W, b, A, B, 2 * alpha)
    need(_near(stronger - plain, 2 * share), "twice the alpha should add twice as much")
    for sizes, alpha in (((2, 9, 4, 5), 5.0), ((1, 3, 6, 1), 0.5), ((4, 32, 48, 16), 8.0)):
        tensors = _pair(*sizes)
        need_same(
            *(lora_linear, EX_10_LORA, _near, (*tensors, alpha)),
            f"right for rank 3 and alpha 12, not for rank {sizes[-1]} and alpha {alpha:g}; take "
            "every size from the tensors",
        )
    return "the layer, and a small detour beside it"


def _pair(N: int, in_: int, out: int, rank: int) -> list[torch.Tensor]:
    """-> x (N, in), W (out, in), b (out,), A (rank, in), B (out, rank)"""
    generator = torch.Generator().manual_seed(10)
    sizes = (N, in_), (out, in_), (out,), (rank, in_), (out, rank)
    return [torch.randn(size, generator=generator) for size in sizes]


def _near(a, b) -> bool:
    return bool(torch.allclose(a, b, atol=1e-5, rtol=1e-5))


LAST_BLOCK = (  # layers of the last block, without its name: mine, and those that are missing
    (
        lambda seen: not _of_image(seen.mine),
        lambda seen: (
            f"{', '.join(_of_image(seen.mine))} of the last block works on the image, which is kept"
        ),
    ),
    (
        lambda seen: "txt_mod.1" not in seen.mine,
        "txt_mod of the last block: two of its six vectors turn the text that the image "
        "still looks at",
    ),
    (
        lambda seen: not seen.mine & {"attn.add_k_proj", "attn.add_v_proj"},
        "keys and values of the text are what the image looks at, in the last block, too",
    ),
    (
        lambda seen: "attn.add_q_proj" not in seen.missing,
        "one is missing: what uses the queries of the text in the last attention?",
    ),
    (
        lambda seen: "attn.to_add_out" not in seen.missing,
        "one is missing: what happens to the text that comes out of the last attention?",
    ),
    (
        lambda seen: not seen.missing,
        lambda seen: (
            f"{len(seen.missing)} missing: what comes after the last attention, in the "
            "text's stream?"
        ),
    ),
)


def _of_image(layers: set[str]) -> list[str]:
    return sorted(n for n in layers if not n.startswith(("txt_", "attn.add_", "attn.to_add_")))


@exercise
def ex_10_still(still) -> str:
    """Whether a linear layer of a model of so many blocks never gets a gradient."""
    for blocks in (3, 12):
        last = blocks - 1
        mine = [name for name in _names(blocks) if still(name, blocks)]
        outside = [name for name in mine if "blocks" not in name]
        need(
            not outside,
            f"{blocks} blocks: {', '.join(outside[:1])} is in no block, and what comes out of it "
            "reaches the picture",
        )
        earlier = sorted({int(name.split(".")[1]) for name in mine} - {last})
        need(
            not earlier,
            f"{blocks} blocks, counted from 0: you name block {', '.join(map(str, earlier))}, "
            f"whose text goes on to the next one; only what block {last} does to text is unused",
        )
        need(bool(mine), f"{blocks} blocks: you name none, and four never get a gradient")
        right = [name for name in _names(blocks) if EX_10_STILL(name, blocks)]
        mine, right = ({name.split(".", 2)[2] for name in names} for names in (mine, right))
        need_all(SimpleNamespace(mine=mine, missing=right - mine), LAST_BLOCK)
    return "four layers that no training ever moves"


def _names(blocks: int) -> list[str]:
    """Linear layers of a model: of each block 14, and those around the blocks."""
    attn = ("to_q", "to_k", "to_v", "to_out.0")
    attn += ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    inside = [f"attn.{name}" for name in attn]
    for stream in ("img", "txt"):
        inside += [f"{stream}_mod.1", f"{stream}_mlp.net.0.proj", f"{stream}_mlp.net.2"]
    around = ["img_in", "txt_in", "norm_out.linear", "proj_out"]
    return around + [f"transformer_blocks.{i}.{name}" for i in range(blocks) for name in inside]
