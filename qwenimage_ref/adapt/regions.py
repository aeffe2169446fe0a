"""EliGen: prompts of their own for parts of a picture, by a mask over joint attention.

    text = [region 1 | region 2 | ... | the whole prompt], then the image tokens

A region's text sees itself and the image tokens inside its mask, and these see it. The whole prompt
and all image tokens see each other, as ever; texts never see other texts, and each one's positions
begin anew. Nothing else of the network changes: the LoRAs EliGen, EliGen-V2 and EliGen-Poster have
learned what this mask means. Source: DiffSynth-Studio, `QwenImageDiT.process_entity_masks`.
"""

from dataclasses import replace

import torch
from torch import Tensor

from ..conditions import Branch
from ..rope import positions


def inside(mask: Tensor, rows: int, cols: int) -> Tensor:
    """(h, w) of latents -> (I,): a token is inside if any of its four latents is"""
    patches = mask.bool().reshape(rows, 2, cols, 2)
    return patches.any(dim=3).any(dim=1).flatten()


def attention_mask(lengths: list[int], seen: Tensor) -> Tensor:
    """Lengths of N texts, (N, I) -> (1, 1, S, S), true where a token (row) may see another

    seen: which image tokens a text sees, and is seen by.
    """
    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))  # (T,)
    T, (_, I) = len(text), seen.shape  # noqa: E741
    mask = torch.ones(T + I, T + I, dtype=torch.bool, device=seen.device)
    mask[:T, :T] = text.unsqueeze(1) == text
    mask[:T, T:] = seen[text]
    mask[T:, :T] = mask[:T, T:].T
    return mask[None, None]


def text_positions(grids: list[tuple], lengths: list[int]) -> Tensor:
    """Grids of all pictures, lengths of the texts -> (T, 3), each text where it alone would be"""
    longest = positions(grids, max(lengths))[1]
    return torch.cat([longest[:length] for length in lengths])


def with_regions(branch: Branch, target: tuple, texts: list[Tensor], seen: Tensor) -> Branch:
    """A branch with texts of regions before its own

    target: its grid. texts: (1, T, Dt) of each of R regions. seen: (R, I), the image tokens inside
    each, those of condition pictures included.
    """
    texts = [*texts, branch.txt]
    lengths = [txt.shape[1] for txt in texts]
    everywhere = torch.ones_like(seen[:1])
    return replace(
        branch,
        txt=torch.cat(texts, dim=1),
        mask=attention_mask(lengths, torch.cat([seen, everywhere])),
        txt_positions=text_positions([target, *branch.grids], lengths),
    )
