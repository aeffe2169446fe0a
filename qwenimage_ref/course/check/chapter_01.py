"""Chapter 01: map of the machine."""

import random

import torch
from torch import nn

from ...mmdit import Block
from .common import exercise, need, need_none, numbers, wrong_here
from .counting import MISTAKES, Net, per_output, tally

SIZES_01 = ((40, 8), (96, 24), (3072, 128))  # width D, width of a head K


@exercise
def ex_01_block(block_parameters) -> str:
    """Parameters of one MMDiT block, from its width and the width of its heads."""
    for D, K in SIZES_01:
        with torch.device("meta"):
            block = Block(D, D // K)
        mine, right = block_parameters(D, K), sum(p.numel() for p in block.parameters())
        need(isinstance(mine, int), f"give an integer, not {mine!r}")
        for missing, hint in _mistakes(D, K).items():
            need(mine != right - missing, hint)
        need(
            mine == right,
            f"for D = {D} and K = {K} yours is {abs(mine - right):,} too "
            f"{'small' if mine < right else 'large'}, and that is none of the usual mistakes; "
            "go through the table row by row",
        )
    return "every parameter of a block has its place"


def _mistakes(D: int, K: int) -> dict[int, str]:
    """What is missing from a wrong count (negative: too much) -> the mistake, in words."""
    heads = D // K
    modulation, attention, mlp, norms = 6 * D * D + 6 * D, 4 * (D * D + D), 8 * D * D + 5 * D, 2 * K
    stream = modulation + attention + mlp + norms
    return {
        stream: "that is one stream; text and image have a set of weights each",
        2 * (6 + 4 + 5) * D: "the biases are missing: a linear layer adds one number an output",
        2 * modulation: "modulation is missing, the layer from D to shifts, scales and gates",
        # careful: the same count, whether one stream has none or both have half
        modulation: "half of the modulation is missing: in each stream there are two triples of "
        "shift, scale and gate, for attention and for the MLP",
        mlp: "one stream has no MLP; text has one of its own",
        attention: "one stream has no attention layers; text has its own query, key, value and out",
        2 * (D * D + D): "each stream has one more matrix in attention; what happens to the heads' "
        "results when they come back together?",
        2 * norms: "QK-norm is missing: small, but it has weights",
        norms: "QK-norm has a weight for queries and one for keys, in each stream",
        2 * norms - 2 * norms * heads: "QK-norm has no weights of its own for each head; all heads "
        "share one vector as long as a head is wide",
        -2 * (4 * D * D + 4 * D): "that MLP has a gate, a third matrix; this one has two, whatever "
        "its official name net.0.proj suggests",
        -4 * 2 * D: "the norms before attention and MLP have no weights; modulation brings them",
        -2 * 2 * D: "the norms before attention and MLP have no weights; modulation brings them",
    }


# --- tensors in files

_FILES = (  # bytes of the tensors, limit, numbers of their files, hint for any others
    ((), 9, (), "without tensors there is nothing to number: an empty dictionary"),
    ((4,), 9, (1,), "files are counted from 1"),
    ((4, 5), 9, (1, 1), "a file may be filled to exactly its limit"),
    ((4, 6), 9, (1, 2), "a tensor that would overfill the file begins the next one"),
    ((8, 8, 3), 9, (1, 2, 3), "the bytes of the tensor that begins a file count in this file"),
    (
        *((5, 5, 5, 5), 9, (1, 2, 3, 4)),
        "a new file begins with no bytes; yours divides all bytes so far by the limit, or keeps "
        "what was in the file before",
    ),
    (
        *((4, 6, 5), 9, (1, 2, 3)),
        "yours puts a small tensor back into an earlier file; a file is never opened again",
    ),
    ((20, 1), 9, (1, 2), "a tensor larger than the limit comes first here, and no file is empty"),
    ((1, 20, 1), 9, (1, 2, 3), "a tensor larger than the limit has a file for itself"),
)


@exercise
def ex_01_files(file_numbers) -> str:
    """file_numbers({name: bytes}, limit) -> {name: number of its file}"""
    for sizes, limit, right, hint in _FILES:
        names = "zyxw"[: len(sizes)]  # careful: not in alphabetical order
        given = file_numbers(dict(zip(names, sizes)), limit)
        need(isinstance(given, dict), f"give a dictionary from names to numbers, not {given!r}")
        need(
            given.keys() == {*names},
            f"every tensor has a number, and nothing else: of {[*names]} yours has {[*given]}",
        )
        need(
            all(type(number) is int for number in given.values()),
            f"each file has an integer, not {[*given.values()]!r}",
        )
        numbered = tuple(given[name] for name in names)
        turned = tuple(given[name] for name in sorted(names))
        need(
            numbered == right or turned != right or sorted(names) == [*names],
            "the tensors are taken in alphabetical order; they are stored in that of registration",
        )
        need(numbered == right, hint)
    rng = random.Random(1)
    for limit in (30, 100, 1000):
        sizes = {f"layer.{i}": rng.randint(1, 45) for i in rng.sample(range(60), 60)}
        files = [[]]
        for name, size in sizes.items():  # the definition, with all bytes of a file added up again
            if files[-1] and sum(sizes[n] for n in files[-1]) + size > limit:
                files.append([])
            files[-1].append(name)
        right = {name: number for number, names in enumerate(files, 1) for name in names}
        need(
            file_numbers(sizes, limit) == right,
            f"right for a few tensors, not for sixty with a limit of {limit}",
        )
    return "in order, and a file is closed before the tensor that does not fit"


# --- operations by layer


@exercise
def ex_01_flops(layer_flops) -> str:
    """layer_flops(network, *inputs) -> {name: operations of the layer}"""
    for B, S, side in ((3, 11, 13), (1, 4, 6)):
        net, inputs = Net(), (numbers(B, S, 5), numbers(B, 2, side, side + 3))
        given = layer_flops(net, *inputs)
        _need_clean(net)
        need(isinstance(given, dict), f"give a dictionary from names to operations, not {given!r}")
        right = tally(per_output)(net, *inputs)
        _need_names(given, right)
        wrong = wrong_here(MISTAKES, right, _same, net, *inputs)
        need_none(given, wrong, _same, net, *inputs)
        others = [name for name in right if given[name] != right[name]]
        need(
            not others,
            f"of {', '.join(others)} the number is another one; write down the shapes of its "
            "weight and of its output",
        )
    alone = nn.Linear(4, 1)
    need(
        layer_flops(alone, numbers(5, 4)) == {"": 2 * 5 * 4},
        "a network that is a single layer is one of its own modules, and its name is empty",
    )
    normal = nn.Sequential(nn.LayerNorm(3))
    need(layer_flops(normal, numbers(2, 3)) == {}, "a network of norms alone has no entry")
    return "what ran, where it ran, and nothing left behind"


def _need_clean(net) -> None:
    """One forward pass, and no hook that stays."""
    need(net.passes > 0, "the network did not run; hooks are called during its forward pass")
    need(net.passes == 1, f"the network ran {net.passes} times; once is enough")
    left = [name for name, module in net.named_modules() if module._forward_hooks]
    need(
        not left,
        f"a hook is left on {', '.join(repr(name) for name in left)}, and would count in every "
        "later pass; remove it by its handle",
    )


def _need_names(given, right) -> None:
    need(
        "unused" not in given,
        "the layer 'unused' never ran and is in the dictionary; list only what ran",
    )
    need(
        "stack.0.0" in given or "embed" not in given,
        "a layer inside of another module is missing; look at all modules, not at the children",
    )
    need(
        not (len(given) == 1 and len(right) > 1),
        "everything is counted under one name: a function that is defined in a loop uses the value "
        "that the loop's variable has when it is called",
    )
    for kind, name in (("nn.Linear", "embed"), ("nn.Conv2d", "down")):
        need(name in given, f"layers of the kind {kind} are missing")
    more = sorted(map(str, given.keys() - right.keys()))
    need(not more, f"only linear layers and convolutions count, and yours has {', '.join(more)}")
    less = sorted(right.keys() - given.keys())
    need(not less, f"{', '.join(less)} ran and is missing")


def _same(a, b) -> bool:
    return a == b
