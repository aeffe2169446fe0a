"""What can be painted: sizes of pictures, numbers of steps, and the memory that a picture takes.

The estimates count the tensors that are alive together at the worst moment, weights left out.
"""

import math
import os
import sys
import warnings
from numbers import Integral
from pathlib import Path

import torch

TOKEN = 16  # pixels along one side of an image token: 8 in a latent, 2 latents in a patch
# Upstream's rotation table ends at position 4096. Text takes up to 1,024 positions, from half of
# the longer side on.
LONGEST_SIDE = 2 * TOKEN * (4096 - 1024)
LONGEST_PROMPT = 50_000  # characters; tokens beyond 1,024 are not read anyway


def warn(text: str) -> None:
    """A warning at the line outside of the package that led here, however deep in it."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in (__package__, "torch"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


def check_size(height: int, width: int) -> None:
    """Raises ValueError, with sizes nearby, for sides that no picture can have."""
    for name, side in (("height", height), ("width", width)):
        if not isinstance(side, Integral):
            raise ValueError(f"{name} must be a whole number of pixels, got {side!r}")
        if side < TOKEN or side % TOKEN:
            lower = max(TOKEN, side // TOKEN * TOKEN)
            raise ValueError(
                f"{name} must be a positive multiple of {TOKEN}, got {side}; "
                f"try {lower} or {lower + TOKEN}"
            )
        if side > LONGEST_SIDE:
            raise ValueError(f"{name} must be at most {LONGEST_SIDE:,}, got {side:,}")


def check_steps(steps: int, most: int, terminal: float) -> None:
    """Raises ValueError for a number of steps that no schedule has.

    terminal: the level that the schedule is stretched to end at; 0: it is not stretched.
    """
    if not isinstance(steps, Integral) or not 1 <= steps <= most:
        raise ValueError(
            f"num_inference_steps must be a whole number from 1 to {most}, got {steps}; "
            "use 2 or more"
        )
    if steps == 1 and terminal:
        raise ValueError(
            "num_inference_steps must be at least 2 for a schedule that is stretched to end at "
            f"{terminal}, got 1; use 2 or more"
        )


def check_scale(true_cfg_scale: float) -> None:
    if not math.isfinite(true_cfg_scale):
        raise ValueError(
            f"true_cfg_scale must be finite, got {true_cfg_scale}; 4 is usual, 1 is no guidance"
        )


def as_prompts(prompt: str | list[str]) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("prompt must be a string or a list of at least one, got none")
    return prompts


def check_prompts(prompts: list[str], max_sequence_length: int) -> None:
    """Raises ValueError for a prompt of which most would not be read."""
    if not 1 <= max_sequence_length <= 1024:
        raise ValueError(f"max_sequence_length must be 1 to 1024, got {max_sequence_length}")
    for prompt in prompts:
        if len(prompt) > LONGEST_PROMPT:
            raise ValueError(
                f"the prompt must have at most {LONGEST_PROMPT:,} characters, got "
                f"{len(prompt):,}; shorten it, only {max_sequence_length} tokens are read"
            )


def check_seed(seed) -> int:
    """The same seed. Raises ValueError for one that torch's generator would change or refuse."""
    if not isinstance(seed, Integral) or not 0 <= seed < 2**64:
        raise ValueError(f"seed must be a whole number from 0 to 2**64 - 1, got {seed}")
    return int(seed)


def one_each(values, count: int, name: str, of: str = "prompts") -> list:
    """One value for all of `count` prompts, or a list with one for each -> a list of `count`"""
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    values = values * count if len(values) == 1 else values
    if len(values) != count:
        raise ValueError(f"{name} must be one, or one for each of {count} {of}, got {len(values)}")
    return values


def free_memory(device: torch.device) -> float:
    """Bytes; all of the machine's, or infinity, where the system does not say."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:  # Linux; unlike free pages it counts the page cache, which gives way
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return float("inf")


def demand_memory(tensors: int, device: torch.device, what: str, remedy: str) -> None:
    """Raises ValueError where `tensors` bytes do not fit into the free memory of the device."""
    needed, free = with_holes(tensors, device), free_memory(device)
    if needed > free:
        raise ValueError(
            f"{what} must fit into the {free / 1e9:.1f} GB of free memory, "
            f"got about {needed / 1e9:.1f} GB; {remedy}"
        )


def fits_memory(tensors: int, device: torch.device) -> bool:
    return with_holes(tensors, device) <= free_memory(device)


def with_holes(tensors: int, device: torch.device) -> float:
    """Bytes of tensors that are alive together -> of the memory that they take"""
    # between freed tensors the C library's heap keeps holes: 1.1 to 2.0 times was measured
    return tensors * (2.0 if device.type == "cpu" else 1.2)


def decoder_bytes(height: int, width: int, strip: int, config, dtype: torch.dtype) -> int:
    """One picture in the last level of the VAE's decoder.

    strip: rows that are normalised at a time, in float32.
    """
    # five copies of the picture's features, or four and those of a strip in float32
    copies = max(5.3, 4.3 + 4 * min(1, strip / height))
    return int(copies * height * width * config.base_dim * dtype.itemsize)


def tiled_bytes(count: int, height: int, width: int, tile: int, strip: int, config, dtype) -> int:
    """Pictures that the VAE decodes one by one, in tiles of so many pixels a side."""
    sides, painted = (min(tile, height), min(tile, width)), 12 * count * height * width
    row = 16 * sides[0] * (width + sides[1])  # finished tiles, which overlap by a third
    at_work = decoder_bytes(*sides, strip, config, dtype) + row + painted
    return max(at_work, 4 * painted)  # four copies on the way to whole numbers


def block_bytes(image_tokens: int, config, dtype: torch.dtype) -> int:
    """One picture in one block of the transformer."""
    # the MLP's two tensors are 4 D wide; the stream and its copies are D wide each
    return int(14 * image_tokens * config.inner_dim * dtype.itemsize)


def text_bytes(prompts: int, tokens: int, config, dtype: torch.dtype) -> int:
    """Prompts of so many tokens, template included, in one layer of the text encoder."""
    D, K = config.hidden_size, config.head_dim
    # MLP: gate, up and product; attention: queries, keys and values, before and after rotation
    inside = max(3 * config.intermediate_size, 6 * D)
    ids, mask = 16 * tokens, tokens * tokens
    return prompts * (tokens * (3 * D + 2 * K + inside) * dtype.itemsize + ids + mask)


def check_pictures(count, height, width, strip: int, tile, vae, mmdit, dtype, device) -> None:
    """Raises ValueError for sides that no picture can have, or more than fits into memory.

    vae, mmdit: their configs. strip: as in `decoder_bytes`. tile: side of the VAE's tiles, or None.
    """
    check_size(height, width)
    tokens = (height // TOKEN) * (width // TOKEN)
    decoded = count * decoder_bytes(height, width, strip, vae, dtype)
    if tile:
        decoded = min(decoded, tiled_bytes(count, height, width, tile, strip, vae, dtype))
    what = f"{count} of {width}x{height} pixels"
    needed = max(decoded, count * block_bytes(tokens, mmdit, dtype))
    demand_memory(needed, device, what, "use smaller sides")


def check_text(prompts: int, tokens: int, config, dtype, device) -> None:
    """Raises ValueError for prompts that do not fit into memory, `tokens` the longest has."""
    needed = text_bytes(prompts, tokens, config, dtype)
    what = f"{prompts} prompts of up to {tokens} tokens"
    demand_memory(needed, device, what, "use fewer or shorter prompts")
