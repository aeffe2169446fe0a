"""What conditions the examples of a batch besides their captions, around the MMDiT of a loss."""

from collections.abc import Callable

import torch

from ..adapt.regions import attention_mask, text_positions
from ..conditions import Branch
from ..rope import positions
from .dataset import Encoded


def conditioned(mmdit, examples: list[Encoded]) -> Callable:
    """The MMDiT as a loss calls it: with the pictures, layers and regions of a batch, if it has any

    examples: of one group, in the order of the batch.
    """
    first = examples[0]
    if first.img is None and first.seen is None:
        return mmdit
    base = mmdit.proj_out.weight
    img = None if first.img is None else torch.stack([each.img for each in examples]).to(base)

    def velocity(noisy, txt, sigma, grids, txt_mask=None):
        _, rows, cols = grids[0]  # frames are a single high picture to the loss
        target, own = (first.frames, rows // first.frames, cols), {}
        if first.frames > 1:
            places = positions([target, *first.grids], txt.shape[1], layered=True)
            own = dict(zip(("img_positions", "txt_positions"), places))
        if first.seen is not None:
            lengths = [*first.lengths, txt.shape[1] - sum(first.lengths)]
            masks = [_mask(lengths, each.seen) for each in examples]
            own |= {
                "mask": torch.cat(masks).to(base.device),
                "txt_positions": text_positions([target, *first.grids], lengths),
            }
        return mmdit(*Branch(txt, txt_mask, img, first.grids, **own).call(noisy, sigma, grids[0]))

    return velocity


def _mask(lengths: list[int], seen: torch.Tensor) -> torch.Tensor:
    everywhere = torch.ones_like(seen[:1])
    return attention_mask(lengths, torch.cat([seen, everywhere]))


def demand_no_dropout(regions: bool, dropout: float) -> None:
    """Raises ValueError: texts of regions are of one length, so no caption can be replaced."""
    if regions and dropout:
        raise ValueError(
            f"dropout must be 0 for examples with regions, got {dropout}; leave it out"
        )
