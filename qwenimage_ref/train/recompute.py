"""Training in less memory: what the way back needs of a block is computed again, not kept.

Streamed blocks (adapt/streaming.py) do so by themselves, and leave even their weights on disk.
"""

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..mmdit import MMDiT


class Recomputed(nn.ModuleList):
    """Blocks of which only the inputs are kept; each runs a second time on the way back."""

    def __iter__(self):
        for block in super().__iter__():
            yield functools.partial(checkpoint, block, use_reentrant=False)


def recompute(mmdit: MMDiT) -> None:
    """From now on the MMDiT is trained so. Names and weights stay what they are."""
    mmdit.train()  # what streamed blocks go by; nothing else in the network does
    if isinstance(mmdit.transformer_blocks, nn.ModuleList):
        mmdit.transformer_blocks = Recomputed(nn.ModuleList.__iter__(mmdit.transformer_blocks))


# Of a block whose way back begins, in copies of the stream (of all tokens, as wide as the network):
# two normalised and one modulated; queries and keys before and after the norm, and values; the
# answer of attention before and after its projection; the stream behind it; the gradient that comes
INSIDE = 12
# in 16 bits, queries and keys before the norm lie there in float32, each twice
UPCAST = 4 * 2 - 2
# of the image's MLP, four times as wide: before and after GELU, and of the latter the gradient
# that came through the weights, the one that came through the adapter, and their sum
MLP = 5 * 4


def training_bytes(
    mmdit: MMDiT, image_tokens: int, text_tokens: int, adapter_parameters: int
) -> dict[str, int]:
    """What a step of LoRA training keeps in memory at once, by part, with recomputed blocks.

    Tokens: times the batch, and more of the image than of the text. The base is as large as it is
    held; of a streamed one, a single block. The adapter is float32, with two moments and an
    average. Of every block its inputs are kept until it is computed again; the gradients that come
    in their place are fewer or more, so that the larger of both counts.
    """
    config, base = mmdit.config, mmdit.proj_out.weight
    blocks = mmdit.transformer_blocks
    weights = sum(p.nbytes for p in mmdit.parameters())
    if not isinstance(blocks, nn.ModuleList):  # of a number as computed with, or less if packed
        one = blocks.blocks[0].parameters()
        weights += sum(p.numel() * min(p.itemsize, base.itemsize) for p in one)
    token = config.inner_dim * base.itemsize
    stream = (image_tokens + text_tokens) * token
    kept = INSIDE + (UPCAST if base.itemsize == 2 else 0)
    return {
        "base": weights,
        "adapter": 4 * 4 * adapter_parameters,
        "between blocks": max(config.num_layers * stream, 4 * adapter_parameters),
        "inside a block": kept * stream + MLP * image_tokens * token,
    }
