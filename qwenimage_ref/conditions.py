"""What conditions a picture, in the one form in which the pipeline takes it.

Below it is what the edit models do with condition pictures before any network runs: sizes, the text
around a prompt, and where the tokens of text and pictures stand inside the text encoder.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .mmdit import Call
from .tokenizer import Tokenizer

MULTIPLE = 32  # pixels: sides of condition pictures are multiples of it
PAD = "<|image_pad|>"  # stands for one token of a picture

# templates; `{}` is the slot of the prompt. Byte-exact: the released models saw these strings.
EDIT_PLUS = (
    "<|im_start|>system\nDescribe the key features of the input image (color, shape, size,"
    " texture, objects, background), then explain how the user's text instruction should alter or"
    " modify the image. Generate a new image that meets the user's requirements while maintaining"
    " consistency with the original input where appropriate.<|im_end|>\n"
    "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"  # where the states of an image go
EDIT = EDIT_PLUS.replace("{}", PICTURE + "{}")  # the first edit model: one image
EDIT_PLUS_PICTURE = "Picture {}: " + PICTURE  # before the prompt, for each image from 1 on


@dataclass(frozen=True)
class Branch:
    """One branch of guidance, as the transformer is called with it."""

    txt: Tensor  # (B, T, Dt) text states
    txt_mask: Tensor | None = None  # (B, T), true where a token is real; None: all are
    img: Tensor | None = None  # (B, I_cond, 64) clean condition pictures, behind the target
    grids: tuple = ()  # the pictures' (frames, rows, cols) in tokens
    mask: Tensor | None = None  # (B, 1, S, S), true where a token may see another: regions
    txt_positions: Tensor | None = None  # (T, 3): regions restart their text
    img_positions: Tensor | None = None  # (I + I_cond, 3): pictures of another size than the target
    after_block: Callable | None = None  # control branches: (i, img_target) -> img_target

    def call(self, x: Tensor, time: Tensor, grid: tuple) -> Call:
        """The target's tokens (B, I, 64), their time (B,) and grid -> a call of the transformer"""
        img = x if self.img is None else torch.cat([x, self.img.to(x.dtype)], dim=1)
        return Call(
            img, self.txt, time, [grid, *self.grids],
            self.txt_mask, self.after_block, self.mask, self.txt_positions, self.img_positions,
        )  # fmt: skip


# -- condition pictures ---------------------------------------------------------------------------


@dataclass(frozen=True)
class EditForm:
    """How the edit models of one pipeline class of upstream are given their pictures."""

    picture: str  # before the prompt, for each picture; {} is its number, from 1 on
    most: int  # pictures
    reading_side: int | None  # area of the vision tower's copy, as a square's side; None: the VAE's
    # what Edit-Lowres-Fix, a LoRA on these models, wants:
    auto_resize: bool = True  # bring pictures to the recommended area; false: leave their size
    rope_interpolation: bool = False  # spread them over the target's rows and columns


@dataclass(frozen=True)
class LayeredForm:
    """How a layered model is given its picture: a single one in RGBA, none of it in the prompt."""

    sides: tuple = (640, 1024)  # areas of the VAE's copy, as squares' sides


FORM_OF_CLASS = {
    "QwenImageEditPipeline": EditForm(PICTURE, most=1, reading_side=None),
    "QwenImageEditPlusPipeline": EditForm(EDIT_PLUS_PICTURE, most=3, reading_side=384),
    "QwenImageLayeredPipeline": LayeredForm(),
}


def size_of_area(width: int, height: int, area: int, multiple: int = MULTIPLE) -> tuple[int, int]:
    """The size (width, height) of about `area` pixels with the proportions of a picture

    Sides are multiples of so many pixels, 32 as upstream, so the proportions change a little.
    """
    ratio = width / height
    # careful: the height follows from the width before rounding; halves are rounded to even
    exact = math.sqrt(area * ratio)
    return round(exact / multiple) * multiple, round(exact / ratio / multiple) * multiple


def spread_positions(grids) -> Tensor:
    """Grids [(1, rows, cols), ...], the target's first -> frame, row and column, (tokens, 3)

    Pictures of another size than the target take their rows and columns from all over the
    target's, so that a small picture lies on it instead of in its middle. Computed anew for each
    target: DiffSynth's edit_rope_interpolation keeps its tables by size alone, and then uses one
    where the target is another.
    """
    _, all_rows, all_cols = grids[0]
    tables = []
    for frame, (_, rows, cols) in enumerate(grids):
        # careful: steps are cut off, not rounded
        row = torch.linspace(0, all_rows - 1, rows).long() - (all_rows - all_rows // 2)
        col = torch.linspace(0, all_cols - 1, cols).long() - (all_cols - all_cols // 2)
        tables.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
    return torch.cat(tables)


def edit_ids(tokenizer: Tokenizer, form: EditForm, prompt: str, counts: list[int]) -> list[int]:
    """A prompt with pictures of so many tokens each -> ids of the edit template around both

    Unlike those of a text-to-image prompt they are never cut. Raises ValueError where the prompt
    itself holds the token that stands for a picture.
    """
    if PAD in prompt:
        raise ValueError(f"the prompt must not contain {PAD}, which stands for a picture")
    slots = [form.picture.replace("{}", str(number)) for number in range(1, len(counts) + 1)]
    pictures = [slot.replace(PAD, PAD * count) for slot, count in zip(slots, counts)]
    return tokenizer.encode(EDIT_PLUS.replace("{}", "".join(pictures) + prompt))


def edit_prefix(tokenizer: Tokenizer) -> int:
    """Tokens before the slot of the edit template, whose states are dropped: officially 64."""
    return len(tokenizer.encode(EDIT_PLUS.partition("{}")[0]))


def places_in_text(ids: Tensor, grids: list[tuple[int, int]], pad_id: int) -> Tensor:
    """Ids (T,), [(rows, cols), ...] in tokens -> time, row and column of each token, (3, 1, T)

    Text counts on along all three axes. A picture stands still in time, its rows and columns count
    from there, and the text goes on behind the longer of its sides. transformers from version 5 on
    forgets this where it is not given the type of each token, as by the pipelines of diffusers.
    """
    places, start, pictures = [], 0, iter(grids)
    is_pad = (ids == pad_id).tolist()
    token = 0
    while token < len(is_pad):
        if is_pad[token]:
            rows, cols = next(pictures)
            axes = torch.arange(1), torch.arange(rows), torch.arange(cols)
            places.append(start + torch.cartesian_prod(*axes))
            start, token = start + max(rows, cols), token + rows * cols
        else:
            places.append(torch.full((1, 3), start))
            start, token = start + 1, token + 1
    return torch.cat(places).T.unsqueeze(1).to(ids.device)
