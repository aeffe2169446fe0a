"""An editor whose two paths get pictures of their own: the same ones, others, or none at all.

The pipeline gives every picture to both paths. Here the vision tower and the VAE may be given
different pictures, so that one path is cut at inference, or both say different things.
"""

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from ..conditions import Branch
from ..limits import TOKEN
from ..pipeline import QwenImage
from ..tasks.edit import edit_texts, encoded_copies, picture_tokens, read_copies, read_pictures

PATHS = ("vision", "vae")
STEPS, GUIDANCE = 20, 4.0


@torch.no_grad()
def paint(
    pipe: QwenImage,
    prompt: str,
    vision: list[Image.Image],
    vae: list[Image.Image],
    size: tuple[int, int],
    seed: int = 0,
    positions: Callable[[list[tuple]], Tensor] | None = None,
) -> Image.Image:
    """One picture of the size (width, height), edited as the prompt says

    vision: RGB pictures that stand in the prompt, as the vision tower reads them; vae: those whose
    latents stand behind the target's. An empty list cuts the path. positions: grids, the target's
    first, -> (tokens, 3), in place of MSRoPE's. With one list on both paths it is the pipeline's
    picture.
    """
    width, height = size
    shape, levels = pipe.schedule(1, height, width, STEPS)
    copies = encoded_copies(pipe, vae)
    img = torch.cat([picture_tokens(pipe, copy) for copy in copies], dim=1) if vae else None
    grids = tuple((1, copy.height // TOKEN, copy.width // TOKEN) for copy in copies)
    own = None if positions is None else positions([(1, height // TOKEN, width // TOKEN), *grids])
    branches = [
        Branch(txt, img=img, grids=grids, img_positions=own)
        for txt in text_states(pipe, (prompt, " "), vision)
    ]
    latents = pipe.denoise(pipe.noise(*shape, seed), levels, *branches, true_cfg_scale=GUIDANCE)
    return pipe.to_pictures(latents)[0]


def on_one_path(pipe: QwenImage, path: str) -> Callable:
    """An editor that is given pictures on one of PATHS alone, to be called as the pipeline is

    The negative prompt, guidance and steps are always those of `paint`.
    """

    def painted(prompt, negative_prompt, true_cfg_scale, height, width, steps, seed, image):
        vision, vae = (image if each == path else [] for each in PATHS)
        return [paint(pipe, prompt, vision, vae, (width, height), seed)]

    return painted


@torch.no_grad()
def text_states(pipe: QwenImage, prompts, pictures: list[Image.Image]) -> list[Tensor]:
    """Prompts, and the pictures that the vision tower reads -> text states of each, (1, T, Dt)"""
    states, sizes = None, []
    if pictures:
        copies = read_copies(pipe, pictures, encoded_copies(pipe, pictures))
        states, sizes = read_pictures(pipe, copies)
    return edit_texts(pipe, [[prompt] for prompt in prompts], states, sizes)
