"""Chapter 01: map of the machine."""

import torch

from ...mmdit import Block
from .common import exercise, need

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
