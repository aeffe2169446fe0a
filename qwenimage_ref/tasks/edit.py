"""Editing: pictures go in on two paths, and a prompt says what to change.

The vision tower reads small copies, whose tokens stand in the prompt: what is in the pictures. The
VAE encodes large copies, whose tokens stand behind the target's: how it looks. Both branches of
guidance get both.
"""

import math

import torch
from PIL import Image
from torch import Tensor

from .. import limits
from ..conditions import (
    PAD,
    Branch,
    edit_ids,
    edit_prefix,
    places_in_text,
    size_of_area,
    spread_positions,
)
from ..limits import TOKEN
from ..pictures import to_input
from ..sampler import pack
from ..vision import preprocess
from .image_to_image import Start
from .inpaint import inpaint

LANCZOS = Image.Resampling.LANCZOS


def edit(pipe, groups, pictures: list, goal, seed=None) -> tuple[Start, list[Branch]]:
    """A prompt with RGB pictures -> where the loop starts, and what conditions each branch

    groups: the prompt of each branch. goal: height, width and steps; sides None: those of the last
    picture, brought to the recommended area. Raises ValueError, one line. Source: diffusers'
    QwenImageEditPipeline and QwenImageEditPlusPipeline.
    """
    check_request(pipe, groups, pictures)
    copies = encoded_copies(pipe, pictures)
    sides = zip(goal, (copies[-1].height, copies[-1].width))
    given = (default if side is None else side for side, default in sides)
    shape, levels = pipe.schedule(1, *given, goal[-1])
    check_memory(pipe, shape, copies)
    img = torch.cat([picture_tokens(pipe, copy) for copy in copies], dim=1)
    branches = edit_branches(pipe, groups, pictures, copies, img, shape)
    return Start(pipe.noise(*shape, seed), levels), branches


def edit_inside_mask(
    pipe, groups, pictures, masks, goal, strength, seed, options
) -> tuple[Start, list[Branch]]:
    """The same with one picture, of which only what is white in a mask is painted anew

    The target has the picture's size, whose latents are drawn from the VAE's posterior and serve
    as its tokens, too. options: of `inpaint`. Source: diffusers' QwenImageEditInpaintPipeline.
    """
    check_request(pipe, groups, pictures)
    if len(pictures) > 1:
        raise ValueError(f"mask_image must lie on a single image, got {len(pictures)}")
    if any(side is not None for side in goal[:2]):
        raise ValueError(
            "height and width must be left out where an edit model gets a mask_image: the target "
            "has the size of the picture"
        )
    copies = encoded_copies(pipe, pictures)
    shape, levels = pipe.schedule(1, copies[0].height, copies[0].width, goal[-1])
    check_memory(pipe, shape, copies)
    start = inpaint(pipe, pictures, masks, shape, levels, strength, seed, **options)
    return start, edit_branches(pipe, groups, pictures, copies, pack(start.clean), shape)


# -- checks ---------------------------------------------------------------------------------------


def check_request(pipe, groups, pictures: list) -> None:
    """Raises ValueError for more prompts or pictures than the model was trained on."""
    if len(groups[0]) != 1:
        raise ValueError(f"prompt must be a single one for an edit model, got {len(groups[0])}")
    # Edit-2511 is the one that was trained on more pictures
    most = math.inf if pipe.transformer.config.zero_cond_t else pipe.form.most
    if not 1 <= len(pictures) <= most:
        number = {1: "1 picture", math.inf: "at least 1 picture"}.get(most, f"1 to {most} pictures")
        raise ValueError(f"image must be {number} for this model, got {len(pictures)}")
    limits.check_prompts([prompt for (prompt,) in groups], max_sequence_length=1024)


def check_memory(pipe, shape, copies: list) -> None:
    """Raises ValueError where the pictures do not fit into memory beside the target."""
    sizes = [shape[1:], *((copy.height, copy.width) for copy in copies)]
    for height, width in sizes:
        pipe.check_picture(1, height, width)
    tokens = sum((height // TOKEN) * (width // TOKEN) for height, width in sizes)
    needed = limits.block_bytes(tokens, pipe.transformer.config, pipe.dtype)
    what = f"a target with {len(copies)} pictures"
    limits.demand_memory(needed, pipe.device, what, "use fewer pictures")


# -- pictures -------------------------------------------------------------------------------------


def encoded_copies(pipe, pictures: list) -> list[Image.Image]:
    """The pictures in the sizes in which the VAE encodes them"""
    area = pipe.recommended.get("sample_size", 1024) ** 2
    if pipe.form.auto_resize:
        sizes = [size_of_area(*picture.size, area) for picture in pictures]
    else:  # the nearest that has whole tokens
        sizes = [
            [max(1, round(side / TOKEN)) * TOKEN for side in picture.size] for picture in pictures
        ]
    return [picture.resize(size, LANCZOS) for picture, size in zip(pictures, sizes)]


def read_copies(pipe, pictures: list, copies: list) -> list[Image.Image]:
    """The pictures in the sizes in which the vision tower reads them"""
    if pipe.form.reading_side is None:
        return copies
    area = pipe.recommended.get("reading_size", pipe.form.reading_side) ** 2
    return [picture.resize(size_of_area(*picture.size, area), LANCZOS) for picture in pictures]


@torch.no_grad()
def picture_tokens(pipe, picture: Image.Image) -> Tensor:
    """A picture -> its tokens, (1, tokens, 64), from the mean of the VAE's posterior"""
    mean, _ = pipe.vae.encode(to_input([picture]).to(pipe.device, pipe.dtype))
    return pack(pipe.vae.normalize(mean))


# -- prompts --------------------------------------------------------------------------------------


@torch.no_grad()
def edit_branches(pipe, groups, pictures, copies, img: Tensor, shape) -> list[Branch]:
    """What conditions each branch: its prompt with the pictures as the vision tower reads them,
    and their tokens `img` (1, tokens, 64)"""
    encoded = edit_texts(pipe, groups, *read_pictures(pipe, read_copies(pipe, pictures, copies)))
    grids = tuple((1, copy.height // TOKEN, copy.width // TOKEN) for copy in copies)
    target = (1, shape[1] // TOKEN, shape[2] // TOKEN)
    positions = spread_positions((target, *grids)) if pipe.form.rope_interpolation else None
    return [Branch(txt, img=img, grids=grids, img_positions=positions) for txt in encoded]


def read_pictures(pipe, read: list[Image.Image]) -> tuple[Tensor, list[tuple[int, int]]]:
    """Copies for the vision tower -> its states (tokens, Dt), rows and columns of each in tokens"""
    config = pipe.vision.config
    patched = [preprocess(copy, config) for copy in read]
    patches, grids = torch.cat([each for each, _ in patched]), [grid for _, grid in patched]
    merge = config.spatial_merge_size
    sizes = [(rows // merge, cols // merge) for _, rows, cols in grids]
    return pipe.vision(patches.to(pipe.device), grids), sizes


def edit_texts(pipe, groups, states: Tensor, grids: list[tuple[int, int]]) -> list[Tensor]:
    """The prompt of each branch with the states of its pictures -> text states, (1, T, Dt)

    grids: rows and columns of each picture, in tokens.
    """
    calls = [text_call(pipe, prompt, grids) for (prompt,) in groups]
    encoded = pipe.text_encoder.many([(ids, None, places, states) for ids, places in calls])
    return [txt[:, edit_prefix(pipe.tokenizer) :] for txt in encoded]


def text_call(pipe, prompt: str, grids: list[tuple[int, int]]) -> tuple[Tensor, Tensor]:
    """A prompt, [(rows, cols), ...] of its pictures in tokens -> ids (1, T), places (3, 1, T)"""
    counts = [rows * cols for rows, cols in grids]
    ids = edit_ids(pipe.tokenizer, pipe.form, prompt, counts)
    limits.check_text(1, len(ids), pipe.text_encoder.config, pipe.dtype, pipe.device)
    ids = torch.tensor(ids, device=pipe.device)
    places = places_in_text(ids, grids, pipe.tokenizer.added[PAD])
    return ids.unsqueeze(0), places
