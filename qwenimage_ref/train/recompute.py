"""Training in less memory: a block's activations are recomputed in its backward pass, not kept.

Streamed blocks (adapt/streaming.py) do so by themselves, and leave even their weights on disk.
"""

import functools

from torch import nn
from torch.utils.checkpoint import checkpoint

from ..config import MMDiTConfig
from ..mmdit import MMDiT


class Recomputed(nn.ModuleList):
    """Blocks of which only the inputs are kept; each runs again in the backward pass."""

    def __iter__(self):
        for block in super().__iter__():
            yield functools.partial(checkpoint, block, use_reentrant=False)


def recompute(mmdit: MMDiT) -> None:
    """Make the MMDiT recompute its blocks. Names and weights stay what they are."""
    mmdit.train()  # the sign for streamed blocks; nothing else in the network depends on it
    if isinstance(mmdit.transformer_blocks, nn.ModuleList):
        mmdit.transformer_blocks = Recomputed(nn.ModuleList.__iter__(mmdit.transformer_blocks))


# Tensors alive when a block's backward pass starts, in units of one (I + T, D) activation: two
# normalised and one modulated; queries and keys before and after the norm, and values; attention's
# output before and after its projection; the stream after it; the incoming gradient
INSIDE = 12
# Float32 copies of queries and keys before the norm, two each, where the rest has 16 bits
UPCAST = 4 * 2 - 2
# Activations of the image's MLP, four times as wide: before and after GELU, and the latter's
# gradients through the weights, through the adapter, and their sum
MLP = 5 * 4


def activation_bytes(
    config: MMDiTConfig, itemsize: int, image_tokens: int, text_tokens: int
) -> tuple[int, int]:
    """Bytes of what is kept between the blocks, and of what is inside the one that runs backward

    itemsize: bytes of a number. Tokens are counted over the batch; the estimate holds for more
    image tokens than text tokens.
    """
    token = config.inner_dim * itemsize
    stream = (image_tokens + text_tokens) * token
    kept = INSIDE + (UPCAST if itemsize == 2 else 0)
    return config.num_layers * stream, kept * stream + MLP * image_tokens * token


def training_bytes(
    mmdit: MMDiT, image_tokens: int, text_tokens: int, adapter_parameters: int
) -> dict[str, int]:
    """Bytes that a step of LoRA training with recomputed blocks holds at once, by part.

    Tokens as for `activation_bytes`. The base counts as it is stored, and a streamed one as a
    single block. The adapter is float32, with two moments and an average. Each block's inputs are
    kept until it is recomputed, and the adapter's gradients then take their place: the larger of
    both counts.
    """
    base, blocks = mmdit.proj_out.weight, mmdit.transformer_blocks
    weights = sum(p.nbytes for p in mmdit.parameters())
    if not isinstance(blocks, nn.ModuleList):  # in the type of computation, or smaller if packed
        one = blocks.blocks[0].parameters()
        weights += sum(p.numel() * min(p.itemsize, base.itemsize) for p in one)
    between, inside = activation_bytes(mmdit.config, base.itemsize, image_tokens, text_tokens)
    return {
        "base": weights,
        "adapter": 4 * 4 * adapter_parameters,
        "between blocks": max(between, 4 * adapter_parameters),
        "inside a block": inside,
    }
