"""A small transformer under regions and a context picture, run by us and by DiffSynth-Studio.

    python tests/helpers/regions_case.py

writes DiffSynth's masks and velocities to tests/golden/regions.safetensors. It needs diffsynth
2.1.12 and torchvision, which nothing else here needs; `test_regions.py` compares ours with it.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from helpers.blockwise_case import COLS, CONFIG, ROWS, SIGMA, diffsynth_network, noise
from qwenimage_ref.adapt.regions import with_regions
from qwenimage_ref.conditions import Branch
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.sampler import pack, unpack
from qwenimage_ref.tasks.regions import seen_tokens

FILE = Path(__file__).parents[1] / "golden" / "regions.safetensors"
TARGET = (1, ROWS // 2, COLS // 2)
LENGTHS = {"disc": 4, "bar": 9, "empty": 5, "full": 6}  # text tokens of each region
# name: regions, and whether there is a context picture
RUNS = {
    "one": (["disc"], False),
    "overlapping": (["disc", "bar"], False),
    "empty and full": (["empty", "bar", "full"], False),
    "context": ([], True),
    "both": (["bar", "disc"], True),
}


def mask(name: str) -> Image.Image:
    """Black and white, of another size than the target's 48x80 pixels, in its proportions"""
    picture = Image.new("RGB", (20 * COLS, 20 * ROWS), "white" if name == "full" else "black")
    draw = ImageDraw.Draw(picture)
    if name == "disc":
        draw.ellipse((11, 7, 93, 81), fill="white")
    if name == "bar":
        draw.rectangle((55, 30, 190, 64), fill="white")
    return picture


def texts() -> dict[str, torch.Tensor]:
    names = [*LENGTHS, "all"]
    lengths = [*LENGTHS.values(), 7]
    width = CONFIG.joint_attention_dim
    return {name: noise(1, T, width, seed=30 + T) for name, T in zip(names, lengths)}


def latents(seed: int) -> torch.Tensor:
    return noise(1, 16, ROWS, COLS, seed=seed)


def network() -> MMDiT:
    return random_weights(MMDiT(CONFIG), 1)


def branch(regions: list[str], context: bool) -> Branch:
    """What our transformer gets in a run"""
    states = texts()
    one = Branch(states["all"])
    if context:
        one = replace(one, img=pack(latents(40)), grids=(TARGET,))
    if not regions:
        return one
    grids = [TARGET, *one.grids]
    seen = torch.stack([seen_tokens(mask(name).convert("L"), grids) for name in regions])
    return with_regions(one, TARGET, [states[name] for name in regions], seen)


@torch.no_grad()
def ours(runs) -> dict[str, torch.Tensor]:
    """Names of runs -> {run: velocity (1, 16, ROWS, COLS)}"""
    mmdit = network()
    calls = [
        branch(*RUNS[name]).call(pack(latents(0)), torch.tensor([SIGMA]), TARGET) for name in runs
    ]
    velocities = mmdit.many(calls)
    return {name: unpack(velocity, *TARGET[1:]) for name, velocity in zip(runs, velocities)}


@torch.no_grad()
def diffsynths() -> dict[str, torch.Tensor]:
    """The same from `model_fn_qwen_image`, and each mask as its pipeline reads it"""
    from types import SimpleNamespace

    from diffsynth.diffusion.base_pipeline import BasePipeline
    from diffsynth.pipelines.qwen_image import QwenImageUnit_EntityControl, model_fn_qwen_image

    pipe = SimpleNamespace(device="cpu", torch_dtype=torch.float32)
    pipe.preprocess_image = lambda image: BasePipeline.preprocess_image(pipe, image)
    read = QwenImageUnit_EntityControl().preprocess_masks
    masks = dict(zip(LENGTHS, read(pipe, [mask(name) for name in LENGTHS], ROWS, COLS, 1)))
    dit, states, results = diffsynth_network(network()), texts(), dict(masks)
    real = {name: torch.ones(txt.shape[:2], dtype=torch.long) for name, txt in states.items()}
    for run, (regions, context) in RUNS.items():
        entities = {}
        if regions:
            entities = {
                "entity_prompt_emb": [states[name] for name in regions],
                "entity_prompt_emb_mask": [real[name] for name in regions],
                "entity_masks": torch.cat([masks[name] for name in regions]).unsqueeze(0),
            }
        results[run] = model_fn_qwen_image(
            dit=dit, latents=latents(0), timestep=torch.tensor([1000 * SIGMA]),
            prompt_emb=states["all"], prompt_emb_mask=real["all"], height=8 * ROWS, width=8 * COLS,
            context_latents=latents(40) if context else None, **entities,
        )  # fmt: skip
    return results


def read_masks() -> dict[str, np.ndarray]:
    """Each mask, (ROWS, COLS), as ours are read"""
    sizes = (COLS, ROWS)
    return {
        name: np.asarray(mask(name).convert("L").resize(sizes, Image.Resampling.NEAREST)) >= 128
        for name in LENGTHS
    }


if __name__ == "__main__":
    from importlib.metadata import version

    from safetensors.torch import save_file

    source = {"source": f"diffsynth {version('diffsynth')}", "torch": torch.__version__}
    save_file(diffsynths(), FILE, metadata=source)
    print(f"{FILE}: {source}")
