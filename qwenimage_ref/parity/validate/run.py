"""`qwenimage validate`: every stage of a checkpoint, ours beside diffusers and transformers.

Both are built from the files a layer at a time, so 6 GB of memory suffice for the official model.
Each stage starts from the reference's numbers, because rounding alone drives two free runs apart.
The vision tower is compared where the model is given pictures, one tower in memory after the other.
Tensors that no picture depends on (otherwise that tower, lm_head, the convolutions over time and
the taps that never meet a frame) are checked by `verify` only. A folder may also hold InstantX's
control network alone (control.py).
"""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
import transformers
from PIL import Image
from tqdm import tqdm

from ...checkpoint.model_folder import picture_form, read_model_index
from ...config import VAEConfig
from ...pictures import to_input
from ...posters.draw import Scene, Shape, caption, draw, sample_scene
from ..tolerances import within
from . import report
from .checkpoints import Checkpoints
from .control import control_rows, is_control
from .public_numbers import colour_gate, published_fit, velocity_gate
from .report import Row
from .stages import (
    STEP,
    picture_stage,
    schedule_stage,
    stack_stage,
    step_stage,
    text_stage,
    tokenizer_stage,
    vae_stage,
    verify_stage,
    vision_stage,
)

POSTER = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
OTHERS = 4  # additional posters for the comparison of colours
NEGATIVE = " "
SIDE = 256  # pixels of the pictures, unless the model recommends smaller ones


@torch.no_grad()
def validate(
    checkpoints: Checkpoints,
    example: tuple[Image.Image, str] | None = None,
    hash: bool = False,
    official: bool = False,
    picture: bool = False,
) -> Iterator[Row]:
    """Yields a row for each comparison, in the order of the model's data flow.

    example: a picture and its caption; None: a poster. hash: also read every byte. official: also
    compare with published numbers, which is done for Qwen-Image-2512 in any case. picture: also
    paint a whole picture with both. Raises CheckpointError for a folder that is not whole.
    """
    channels = VAEConfig.from_json(checkpoints.ours / "vae" / "config.json").input_channels
    if official and channels != 3:
        raise ValueError(
            "the published numbers must be compared with those of an RGB model, got a layered one; "
            "leave them out"
        )
    recommended = read_model_index(checkpoints.ours).get("sample_size", SIDE)
    side = min(recommended, SIDE)
    example, prompt = example or (poster(POSTER), caption(POSTER))
    img = to_tensor(example, side, channels)
    published = yield from verify_stage(checkpoints, hash)
    prompts = [prompt, NEGATIVE]
    ids = yield from tokenizer_stage(checkpoints, prompts)
    states = yield from text_stage(checkpoints, ids)
    if picture_form(checkpoints.ours) is not None:
        yield from vision_stage(checkpoints, square(example, side))
    (ours, theirs), latents = yield from vae_stage(checkpoints, img)
    if official or published:
        scenes = [sample_scene(seed, word_share=0) for seed in range(OTHERS)]
        others = [to_tensor(poster(scene), side) for scene in scenes]
        several = torch.cat([img, *others]).to(checkpoints.device, checkpoints.dtype)
        yield from colour_gate(ours, several, published_fit(), within("latent rgb"))
    step = yield from schedule_stage(checkpoints, latents)
    velocities = yield from stack_stage(checkpoints, step, states)
    if official or published:
        sigma = step.scheduler.sigmas[STEP].item()
        yield from velocity_gate(velocities[0][0], step.target, sigma)
    yield from step_stage(checkpoints, step, velocities)
    if picture:
        yield from picture_stage(checkpoints, prompts, states, theirs, side)


def poster(scene: Scene) -> Image.Image:
    return Image.fromarray(draw(scene))


def to_tensor(picture: Image.Image, side: int, channels: int = 3) -> torch.Tensor:
    """A picture's `square` as (1, channels, side, side) in [-1, 1]

    channels: 3, or 4 with its transparency.
    """
    return to_input([square(picture, side, "RGB" if channels == 3 else "RGBA")])


def square(picture: Image.Image, side: int, mode: str = "RGB") -> Image.Image:
    """The central square of a picture, resized"""
    smaller = min(picture.size)
    left, top = ((length - smaller) // 2 for length in picture.size)
    cut = picture.convert(mode).crop((left, top, left + smaller, top + smaller))
    return cut.resize((side, side), Image.Resampling.LANCZOS)


def run(folder: Path, record: Path, reference=None, dtype="float32", device="cpu", **more) -> bool:
    """Print the table row by row, then write the JSON file. Returns whether all rows are ok."""
    diffusers.utils.logging.set_verbosity_error()  # both libraries comment on config files
    transformers.utils.logging.set_verbosity_error()
    torch.backends.cudnn.allow_tf32 = False  # otherwise convolutions on a GPU round to ten bits
    checkpoints = Checkpoints(
        folder, reference or folder, getattr(torch, dtype), torch.device(device)
    )
    rows = []
    tqdm.write(report.HEAD)
    stages = control_rows(checkpoints) if is_control(folder) else validate(checkpoints, **more)
    for row in stages:
        rows.append(row)
        tqdm.write(str(row))
    other = reference.name if reference else "the same files"
    about = {"folder": folder.name, "reference": other, "dtype": dtype, "device": device}
    report.write(rows, about, record)
    failed = [row for row in rows if not row.ok]
    print(f"{record}: written. " + (failed[0].reason if failed else "Every stage agrees."))
    return not failed
