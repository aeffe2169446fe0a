"""`qwenimage validate`: every stage of a checkpoint, ours beside diffusers and transformers.

Ours and the reference are built from the files a layer at a time, so 6 GB of memory are enough for
the official model. Each stage is fed the reference's own numbers: two programs that run free part
by rounding alone, and agree by chance. What no picture depends on, which is the vision tower,
lm_head, the convolutions over time and the taps that meet no frame, is looked at by `verify` alone.
"""

from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
import transformers
from PIL import Image
from tqdm import tqdm

from ...checkpoint.model_folder import read_model_index
from ...pictures import to_input
from ...posters.draw import Scene, Shape, caption, draw, sample_scene
from ..tolerances import within
from . import report
from .public_numbers import colour_gate, published_fit, velocity_gate
from .report import Row
from .sides import Sides
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
)

POSTER = Scene("white", (Shape("circle", "red"), Shape("star", "blue")), "left of")
OTHERS = 4  # posters more, for the gate that looks at colours
NEGATIVE = " "
LARGEST = 256  # pixels: the side of what is validated, unless the model wants smaller pictures


@torch.no_grad()
def validate(
    sides: Sides,
    example: tuple[Image.Image, str] | None = None,
    hash: bool = False,
    official: bool = False,
    picture: bool = False,
) -> Iterator[Row]:
    """Yields a row for each comparison, in the order of the model's own data flow.

    example: a picture and its caption; None: a poster. hash: read every byte, too. official: the
    weights are released ones, so published numbers must come out; asked of Qwen-Image-2512 anyway.
    picture: paint a whole one with both. Raises CheckpointError for a folder that is not whole.
    """
    recommended = read_model_index(sides.ours).get("sample_size", LARGEST)
    side = min(recommended, LARGEST)
    img, prompt = example or (poster(POSTER), caption(POSTER))
    img = to_tensor(img, side)
    published = yield from verify_stage(sides, hash)
    prompts = [prompt, NEGATIVE]
    ids = yield from tokenizer_stage(sides, prompts)
    states = yield from text_stage(sides, ids)
    (ours, theirs), latents = yield from vae_stage(sides, img)
    if official or published:
        scenes = [sample_scene(seed, word_share=0) for seed in range(OTHERS)]
        others = [to_tensor(poster(scene), side) for scene in scenes]
        several = torch.cat([img, *others]).to(sides.device, sides.dtype)
        yield from colour_gate(ours, several, published_fit(), within("latent rgb"))
    step = yield from schedule_stage(sides, latents)
    velocities = yield from stack_stage(sides, step, states)
    if official or published:
        sigma = step.scheduler.sigmas[STEP].item()
        yield from velocity_gate(velocities[0][0], step.target, sigma)
    yield from step_stage(sides, step, velocities)
    if picture:
        yield from picture_stage(sides, prompts, states, theirs, side)


def poster(scene: Scene) -> Image.Image:
    return Image.fromarray(draw(scene))


def to_tensor(picture: Image.Image, side: int) -> torch.Tensor:
    """A picture's middle square, `side` pixels wide, as (1, 3, side, side) in [-1, 1]."""
    smaller = min(picture.size)
    left, top = ((length - smaller) // 2 for length in picture.size)
    square = picture.convert("RGB").crop((left, top, left + smaller, top + smaller))
    return to_input([square.resize((side, side), Image.Resampling.LANCZOS)])


def run(folder: Path, record: Path, reference=None, dtype="float32", device="cpu", **more) -> bool:
    """What the command does: a table as it comes, then a JSON file. Returns whether all is well."""
    diffusers.utils.logging.set_verbosity_error()  # they comment on config files
    transformers.utils.logging.set_verbosity_error()
    torch.backends.cudnn.allow_tf32 = False  # else convolutions on a GPU have ten bits
    sides = Sides(folder, reference or folder, getattr(torch, dtype), torch.device(device))
    rows = []
    tqdm.write(report.HEAD)
    for row in validate(sides, **more):
        rows.append(row)
        tqdm.write(str(row))
    other = reference.name if reference else "the same files"
    about = {"folder": folder.name, "reference": other, "dtype": dtype, "device": device}
    report.write(rows, about, record)
    failed = [row for row in rows if not row.ok]
    print(f"{record}: written. " + (failed[0].reason if failed else "Every stage agrees."))
    return not failed
