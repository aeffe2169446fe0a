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


def training_bytes(mmdit: MMDiT, tokens: int, adapter_parameters: int) -> dict[str, int]:
    """What a step of LoRA training keeps in memory at once, by part, with recomputed blocks.

    tokens: of picture and text together, times the batch. The base is as large as it is stored;
    the adapter is float32 and has a gradient, two moments and an average beside it; of every block
    its inputs are kept, and of one block, the one that is just computed again, everything.
    """
    config, base = mmdit.config, next(mmdit.parameters())
    weights = sum(p.nbytes for p in mmdit.parameters())
    stream = tokens * config.inner_dim * base.element_size()
    return {
        "base": weights,
        "adapter": 5 * 4 * adapter_parameters,
        "between blocks": config.num_layers * stream,
        "inside a block": INSIDE * stream,
    }


# of a stream, how often: the six modulated and normalised copies, queries, keys and values before
# and after their norms, attention's output and the two MLPs of four times the width
INSIDE = 40
