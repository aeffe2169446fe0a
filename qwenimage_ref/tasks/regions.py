"""What conditions a picture beside its prompt: regions with prompts of their own (EliGen), and a
picture that it follows (In-Context-Control)."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .. import limits
from ..adapt.regions import inside, with_regions
from ..conditions import Branch
from ..limits import TOKEN, warn
from ..pictures import input_picture
from .edit import check_memory, picture_tokens

MOST = 16  # regions; each adds its text to every block
WHITE = 128  # grey levels from here on are inside
GREY = range(32, 224)  # levels that neither black nor white turns into when a file is compressed
CONTEXT = "Context_Control. "  # what In-Context-Control-Union was trained to find before a prompt


# -- checks ---------------------------------------------------------------------------------------


def checked_regions(regions, prompts: list[str]) -> list[tuple[str, Image.Image]]:
    """[(prompt, mask), ...] -> the same with grey masks. Raises ValueError, one line."""
    regions = list(regions)
    if not 1 <= len(regions) <= MOST:
        raise ValueError(
            f"regions must be 1 to {MOST}, got {len(regions)}; leave small ones to the prompt"
        )
    if len(prompts) != 1:
        raise ValueError(f"prompt must be a single one for regions, got {len(prompts)}")
    texts = [region[0] if isinstance(region, (tuple, list)) else region for region in regions]
    pairs = all(isinstance(region, (tuple, list)) and len(region) == 2 for region in regions)
    if not pairs or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(
            "regions must be pairs of a prompt and a mask, got others; name what is where"
        )
    limits.check_prompts(texts, max_sequence_length=1024)
    return [(text, grey_region(mask, text)) for text, mask in regions]


def grey_region(mask: Image.Image, text: str) -> Image.Image:
    """A mask of any mode, in grey. Raises ValueError where it is not black and white."""
    grey = input_picture(mask, f'the mask of "{text}"').convert("L")
    count = sum(grey.histogram()[level] for level in GREY)
    if count:
        raise ValueError(
            f'the mask of "{text}" must be black and white, got {count:,} grey pixels; save it '
            "without smoothed edges"
        )
    return grey


def check_proportions(regions, height: int, width: int) -> None:
    """Raises ValueError for a mask in other proportions than the target."""
    for text, mask in regions:
        ratio = mask.width / mask.height
        if abs(ratio * height - width) > TOKEN * (1 + ratio):
            raise ValueError(
                f'the mask of "{text}" must have the proportions of the target, {width}x{height}, '
                f"got {mask.width}x{mask.height}; draw it at that size"
            )


def check_region_memory(pipe, branch: Branch, texts: list[Tensor], image_tokens: int) -> None:
    """Raises ValueError where the mask over all tokens does not fit into memory."""
    tokens = image_tokens + sum(txt.shape[1] for txt in (*texts, branch.txt))
    # true or false for each pair of tokens, which torch turns into numbers to add
    mask = tokens * tokens * (1 + pipe.dtype.itemsize)
    needed = mask + limits.block_bytes(tokens, pipe.transformer.config, pipe.dtype)
    limits.demand_memory(
        needed, pipe.device, f"{len(texts)} regions", "use fewer, or smaller sides"
    )


# -- regions --------------------------------------------------------------------------------------


@torch.no_grad()
def in_regions(pipe, branches: list[Branch], shape, regions, on_negative: bool) -> list[Branch]:
    """Branches of one prompt -> the same under regions; the mask is built once

    shape: count, height and width of the target. regions: of `checked_regions`. on_negative: the
    negative branch, too, has its prompt in each region instead of none. Raises ValueError.
    """
    _, height, width = shape
    check_proportions(regions, height, width)
    target = (1, height // TOKEN, width // TOKEN)
    grids = [target, *branches[0].grids]
    seen, texts = encoded_regions(pipe, regions, grids)
    check_region_memory(pipe, branches[0], texts, seen.shape[1])
    cond, *uncond = branches
    cond = with_regions(cond, target, texts, seen)
    if on_negative:
        uncond = [with_regions(each, target, [each.txt] * len(texts), seen) for each in uncond]
    return [cond, *uncond]


def encoded_regions(pipe, regions, grids) -> tuple[Tensor, list[Tensor]]:
    """Regions of `checked_regions` -> the image tokens inside each (R, I), its text (1, T, Dt)"""
    seen = torch.stack([seen_tokens(mask, grids) for _, mask in regions]).to(pipe.device)
    for (text, _), tokens in zip(regions, seen):
        if not tokens.any():
            warn(f'the mask of "{text}" is black all over, so it is nowhere')
    encoded = pipe.encode_prompts([[text] for text, _ in regions], max_sequence_length=1024)
    return seen, [branch.txt for branch in encoded]


def seen_tokens(mask: Image.Image, grids) -> Tensor:
    """A grey mask -> (I,): which tokens of the target and of condition pictures are inside"""
    tables = []
    for _, rows, cols in grids:
        # careful: the nearest pixel counts, as upstream; an average would be smoothed
        small = mask.resize((2 * cols, 2 * rows), Image.Resampling.NEAREST)
        tables.append(inside(torch.from_numpy(np.asarray(small) >= WHITE), rows, cols))
    return torch.cat(tables)


# -- in context -----------------------------------------------------------------------------------


def context_prompt(prompt: str) -> str:
    """A prompt as In-Context-Control-Union reads it"""
    return prompt if prompt.startswith(CONTEXT) else CONTEXT + prompt


def in_context(pipe, branches: list[Branch], shape, picture: Image.Image) -> list[Branch]:
    """Branches that have a control picture as a condition picture, which needs the LoRA of rank 64

    The picture, edges, depth, a pose, is stretched to the target's size; both branches get it.
    """
    count, height, width = shape
    copy = input_picture(picture, "context_image").resize((width, height), Image.Resampling.BICUBIC)
    check_memory(pipe, shape, [copy])
    img = picture_tokens(pipe, copy).expand(count, -1, -1)
    grids = ((1, height // TOKEN, width // TOKEN),)
    return [replace(branch, img=img, grids=grids) for branch in branches]
