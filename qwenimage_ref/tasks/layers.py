"""Layers: a flat picture is taken apart into transparent ones that lie on each other.

All layers come from one loop, each a frame of the target: frame 0 becomes the whole picture once
more and is dropped, frames 1 to n become the layers, the lowest first. The picture itself stands
behind them as frame -1, clean. A fourth channel, alpha, goes through the VAE like a colour.
"""

from dataclasses import replace
from numbers import Integral

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from .. import limits
from ..conditions import Branch, LayeredForm, size_of_area
from ..config import SchedulerConfig
from ..limits import TOKEN
from ..pictures import input_picture, is_opaque
from ..rope import positions
from ..sampler import draw, generators, guide, sigmas
from .captions import caption, demand_reader
from .edit import LANCZOS, picture_tokens

MOST_LAYERS = 64  # the examples of the release have 3 to 8


def decompose(
    pipe,
    image: Image.Image,
    prompt: str | None = None,
    negative_prompt: str | None = " ",
    true_cfg_scale: float = 4.0,
    layers: int = 4,
    num_inference_steps: int = 50,
    seed: int | None = None,
    resolution: int | None = None,
    cfg_normalize: bool = False,
    use_en_prompt: bool = False,
    max_sequence_length: int = 512,
    callback=None,
) -> list[Image.Image]:
    """A picture -> its layers in RGBA, from the lowest to the topmost; on each other they show it

    pipe: of a layered model. A prompt says what the whole picture shows, hidden parts included;
    without one the text encoder describes it, in English or Chinese. resolution: 640 or 1024, the
    area in which layers are painted, as a square's side; None: what is recommended, else 640.
    cfg_normalize: guidance keeps each token's length, as it does in the other models. callback: as
    in `QwenImage.__call__`, with all frames above each other, (1, C, (layers + 1) h, w). Raises
    ValueError, one line. Source: diffusers' QwenImageLayeredPipeline.
    """
    check_request(pipe, true_cfg_scale)
    check_count(layers)
    written = prompt is None or prompt in ("", " ")
    if written:
        demand_reader(pipe.recommended)
    copy = encoded_copy(pipe, image, resolution)
    check_memory(pipe, copy, layers + 2)
    # careful: the schedule goes by the tokens of one frame, not by those of the target
    levels = sigmas(num_inference_steps, tokens_of(copy), pipe.scheduler)
    noise = frames_of_noise(pipe, layers + 1, copy, seed)
    if written:
        prompt = caption(pipe, copy, use_en_prompt)
    encoded = encode(pipe, prompt, negative_prompt, true_cfg_scale, max_sequence_length)
    branches = layered_branches(encoded, picture_tokens(pipe, copy), layers + 1, grid_of(copy))
    latents = pipe.denoise(
        noise,
        levels,
        *branches,
        true_cfg_scale=true_cfg_scale,
        callback=callback,
        combine=guide if cfg_normalize else without_rescale,
    )
    # one by one: a decoder's memory is that of a single picture
    frames = latents.chunk(layers + 1, dim=2)
    return [pipe.to_pictures(frame)[0] for frame in frames[1:]]


def extract(
    pipe,
    image: Image.Image,
    prompt: str,
    mask: Image.Image | None = None,
    negative_prompt: str = "",
    true_cfg_scale: float | None = None,
    num_inference_steps: int = 30,
    seed: int | None = None,
    resolution: int | None = None,
    max_sequence_length: int = 512,
    callback=None,
) -> Image.Image:
    """A picture and what to take out of it -> that as a layer in RGBA

    pipe: of a layered model with the transformer of Layered-Control, and with the LoRA of version 2
    where there is a mask, a picture whose opaque part shows where to take it from. true_cfg_scale
    None: 4, or 1 with a mask. resolution: as in `decompose`, but 1024 if nothing is recommended.
    Raises ValueError, one line. Source: DiffSynth's QwenImagePipeline with layer_num=0, whose
    schedule is that of the other models and whose guidance keeps no lengths.
    """
    if true_cfg_scale is None:
        true_cfg_scale = 4.0 if mask is None else 1.0
    check_request(pipe, true_cfg_scale)
    if not prompt.strip():
        raise ValueError('prompt must name a layer, got an empty one; say "the word" for example')
    copy = encoded_copy(pipe, image, resolution, usual=1024)
    pictures = [copy]
    if mask is not None:
        mask = input_picture(mask, "mask", alpha=True)
        check_mask(mask)
        pictures = [mask.resize(copy.size, LANCZOS), copy]
    check_memory(pipe, copy, 1 + len(pictures))
    levels = sigmas(num_inference_steps, tokens_of(copy), SchedulerConfig.official())
    noise = frames_of_noise(pipe, 1, copy, seed)
    img = torch.cat([picture_tokens(pipe, picture) for picture in pictures], dim=1)
    grids = (grid_of(copy),) * len(pictures)
    encoded = encode(pipe, prompt, negative_prompt, true_cfg_scale, max_sequence_length)
    branches = [replace(branch, img=img, grids=grids) for branch in encoded]
    latents = pipe.denoise(
        noise,
        levels,
        *branches,
        true_cfg_scale=true_cfg_scale,
        callback=callback,
        combine=without_rescale,
    )
    return pipe.to_pictures(latents)[0]


# -- checks ---------------------------------------------------------------------------------------


def check_request(pipe, true_cfg_scale: float) -> None:
    if not isinstance(pipe.form, LayeredForm):
        kind = "a text-to-image model" if pipe.form is None else "an edit model"
        raise ValueError(
            f"the weights must be of Qwen-Image-Layered to take a picture apart, got {kind}; "
            "call the pipeline itself to paint"
        )
    limits.check_scale(true_cfg_scale)


def check_count(layers: int) -> None:
    """Raises ValueError for a number of layers that no picture is taken apart into."""
    if not isinstance(layers, Integral) or not 1 <= layers <= MOST_LAYERS:
        raise ValueError(
            f"layers must be a whole number from 1 to {MOST_LAYERS}, got {layers}; 4 is usual"
        )


def check_mask(mask: Image.Image) -> None:
    """Raises ValueError for a mask in RGBA that shows no place: all of it opaque, or none."""
    if is_opaque(mask) or mask.getextrema()[3][1] == 0:
        kind = "all of it opaque" if is_opaque(mask) else "all of it transparent"
        raise ValueError(
            f"mask must be opaque where the layer is and transparent elsewhere, got {kind}; "
            "erase what is outside the layer and save it in RGBA"
        )


def check_memory(pipe, copy: Image.Image, frames: int) -> None:
    """Raises ValueError where so many frames of a picture's size do not fit into memory."""
    pipe.check_picture(1, copy.height, copy.width)
    needed = limits.block_bytes(frames * tokens_of(copy), pipe.transformer.config, pipe.dtype)
    what = f"{frames} frames of {copy.width}x{copy.height} pixels"
    limits.demand_memory(needed, pipe.device, what, "use fewer layers or a smaller resolution")


# -- pictures -------------------------------------------------------------------------------------


def encoded_copy(pipe, image, resolution: int | None, usual: int = 640) -> Image.Image:
    """A picture in RGBA, in the size in which the VAE encodes it and layers are painted"""
    recommended = pipe.recommended.get("sample_size", usual)
    side = recommended if resolution is None else resolution
    if side not in (allowed := sorted({*pipe.form.sides, recommended})):
        raise ValueError(f"resolution must be one of {allowed}, got {resolution}")
    picture = input_picture(image, alpha=True)
    return picture.resize(size_of_area(*picture.size, side**2), LANCZOS)


def grid_of(copy: Image.Image) -> tuple[int, int, int]:
    """Frames, rows and columns, in tokens"""
    return 1, copy.height // TOKEN, copy.width // TOKEN


def tokens_of(copy: Image.Image) -> int:
    _, rows, cols = grid_of(copy)
    return rows * cols


def frames_of_noise(pipe, frames: int, copy: Image.Image, seed) -> Tensor:
    """-> (1, C, frames * h, w): upstream's noise for this seed, the frames above each other

    So they are packed frame by frame, as one high picture would be.
    """
    scale, channels = pipe.vae.config.scale, pipe.vae.config.z_dim
    shape = (1, frames, channels, copy.height // scale, copy.width // scale)
    noise = draw(shape, generators(seed, 1), pipe.dtype).to(pipe.device)
    return rearrange(noise, "b f c h w -> b c (f h) w")


# -- branches -------------------------------------------------------------------------------------


@torch.no_grad()
def encode(pipe, prompt, negative_prompt, true_cfg_scale, max_sequence_length) -> list[Branch]:
    """The text of each branch: a negative one only where there is guidance"""
    groups = [[prompt]]
    if negative_prompt is not None and true_cfg_scale > 1:
        groups.append([negative_prompt])
    return pipe.encode_prompts(groups, max_sequence_length)


def layered_branches(encoded: list[Branch], img: Tensor, frames: int, grid) -> list[Branch]:
    """The same with the clean picture's tokens `img` (1, tokens, 64), and the place of each frame

    grid: of one frame. To the loop the target is a single high picture, so positions are given.
    """
    _, rows, cols = grid
    branches = []
    for branch in encoded:
        grids = [(frames, rows, cols), grid]
        img_positions, txt_positions = positions(grids, branch.txt.shape[1], layered=True)
        own = {"img_positions": img_positions, "txt_positions": txt_positions}
        branches.append(replace(branch, img=img, grids=(grid,), **own))
    return branches


def without_rescale(cond: Tensor, uncond: Tensor, true_cfg_scale: float) -> Tensor:
    """(B, I, D), (B, I, D) -> (B, I, D): classifier-free guidance without rescaling the norm"""
    return uncond + true_cfg_scale * (cond - uncond)
