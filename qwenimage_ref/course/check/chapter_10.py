"""Chapter 10: LoRA."""

from types import SimpleNamespace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..answers import EX_10_LORA, EX_10_STILL
from .common import (
    demand_shape,
    exercise,
    need,
    need_all,
    need_none,
    need_same,
    numbers,
    wrong_here,
)


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


# --- the same update with less rank

_CUTS = (  # R, in, out, rank, alpha; an MLP widens four times, a modulation six
    (5, 9, 36, 2, 8.0),
    (4, 11, 11, 3, 1.0),
    (6, 44, 11, 1, 3.0),
    (3, 7, 42, 3, 6.0),
)
_WIDE = (6, 300, 500, 2, 4.0)


@exercise
def ex_10_squeezed(squeezed) -> str:
    """squeezed(A (R, in), B (out, R), alpha, rank) -> A (rank, in), B (out, rank)"""
    for seed, (R, in_, out, rank, alpha) in enumerate(_CUTS):
        case = *_uneven(R, in_, out, seed), alpha, rank
        given = _product(squeezed(*case), rank, in_, out)
        right = _cut()(*case)
        need_none(given, wrong_here(_CUT_MISTAKES, right, _alike, *case), _alike, *case)
        whole = _cut()(*case[:3], R)
        need(
            _alike(given, right),
            f"from rank {R} to {rank}, {in_} inputs, {out} outputs, alpha {alpha:g}: the squared "
            f"differences to the old update sum to {(given - whole).square().sum():.4g}, and "
            f"{(right - whole).square().sum():.4g} is possible",
        )
    R, in_, out, rank, alpha = _WIDE
    case = *_uneven(R, in_, out, 9), alpha, rank
    with _Largest() as largest:
        given = squeezed(*case)
    need(_alike(_product(given, rank, in_, out), _cut()(*case)), "wrong for a larger layer")
    need(
        largest.numbers <= R * out,
        f"right, but for a layer of {in_} inputs and {out} outputs it fills a tensor of "
        f"{largest.numbers:,} numbers, where B has {R * out:,}; at the official size this is slow. "
        "Find thin matrices whose columns span what A and B span",
    )
    return "the largest part of the update that fits into this rank"


def _uneven(R: int, in_: int, out: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A (R, in) and B (out, R) whose rows and columns differ in length"""
    lengths = 0.6 ** torch.arange(R).flip(0)
    return lengths[:, None] * numbers(R, in_, seed=seed), numbers(out, R, seed=seed + 20)


def _product(given, rank: int, in_: int, out: int) -> torch.Tensor:
    """B A of what an answer gave, (out, in). NotYet where it gave no such pair."""
    need(isinstance(given, (tuple, list)) and len(given) == 2, "give two matrices, A and B")
    shapes = [tuple(each.shape) for each in given if isinstance(each, torch.Tensor)]
    need(
        shapes != [(out, rank), (rank, in_)],
        "A comes first, then B; these are the other way round",
    )
    demand_shape(given[0], (rank, in_), "for A with a row for each rank")
    demand_shape(given[1], (out, rank), "for B with a column for each rank")
    need(
        all(each.dtype == torch.float32 for each in given),
        "A and B came in float32; give both in that type",
    )
    return given[1] @ given[0]


def _alike(a, b) -> bool:
    return bool((a - b).norm() <= 1e-4 * b.norm())


class _Largest(TorchDispatchMode):
    """While entered, `numbers` is the size of the largest tensor that an operation returns."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


def _singular(matrix, power=1, rank=None, last=False):
    """The matrix from `rank` of its singular values, each to a power; last: from the smallest"""
    u, values, vh = torch.linalg.svd(matrix, full_matrices=False)
    most = torch.linalg.matrix_rank(matrix)
    kept = slice(most - rank, most) if last else slice(0, rank)
    return u[:, kept] * values[kept] ** power @ vh[kept]


def _cut(times=None, A_first=None, B_first=None, **how):
    """The update of rank `rank`, with one mistake; times(alpha, R, rank): its factor"""

    def update(A, B, alpha, rank):
        factor = (times or (lambda alpha, R, rank: alpha / R))(alpha, len(A), rank)
        if A_first or B_first:
            A = _singular(A, rank=rank) if A_first else A
            B = _singular(B, rank=rank) if B_first else B
            return factor * (B @ A)
        return factor * _singular(B @ A, rank=rank, **how)

    return update


def _twisted(A, B, alpha, rank):
    (Q, left), (P, right) = torch.linalg.qr(B), torch.linalg.qr(A.T)
    return alpha / len(A) * Q @ _singular(left @ right, rank=rank) @ P.T


_CUT_MISTAKES = [
    (lambda A, B, alpha, rank: alpha / len(A) * B[:, :rank] @ A[:rank],
     "that keeps the first rows of A and columns of B; which of them matter is not their order"),
    (_cut(times=lambda alpha, R, rank: 1), "the old pair counts alpha / R times, the new one "
     "once; something has to take up the fraction"),
    (_cut(times=lambda alpha, R, rank: alpha / rank),
     "alpha is divided by the new rank; how much the old pair counts depends on the old one"),
    (_cut(times=lambda alpha, R, rank: alpha), "alpha has to be divided by the old rank"),
    (_cut(times=lambda alpha, R, rank: (alpha / R) ** 2),
     "both matrices have the whole fraction, which therefore counts twice"),
    (_cut(times=lambda alpha, R, rank: R / alpha), "the fraction stands upside down"),
    (_cut(last=True), "that keeps the smallest singular values"),
    (_cut(power=0), "the singular values are missing, so that all directions count alike"),
    (_cut(power=0.5), "the product has only half a power of each singular value; both halves, or "
     "one matrix with the whole of it"),
    (_cut(power=2), "both matrices have the singular values, which therefore count twice"),
    (_cut(A_first=True), "that is best for A alone; what A has little of, B may enlarge"),
    (_cut(B_first=True), "that is best for B alone; what B enlarges, A may never send"),
    (_cut(A_first=True, B_first=True), "each matrix is cut by itself; cut their product"),
    (_twisted, "the two small factors do not meet as B and A do; which of the two is transposed?"),
]  # fmt: skip
