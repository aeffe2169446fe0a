"""Editing beside the pipelines of diffusers: text states, tokens of pictures, steps, pictures."""

import pytest
import torch
from diffusers import QwenImageEditPipeline, QwenImageEditPlusPipeline
from helpers.editing import (
    EDIT,
    EDIT_PLUS,
    INSTRUCTION,
    edit_folder,
    picture,
    reference,
    start_of_prompts,
)
from helpers.painting_over import assert_the_same_pictures

from qwenimage_ref import QwenImage

MODELS = {
    "edit": (EDIT, QwenImageEditPipeline, {}),
    "2509": (EDIT_PLUS, QwenImageEditPlusPipeline, {}),
    "2511": (EDIT_PLUS, QwenImageEditPlusPipeline, {"zero_cond_t": True}),
}


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def sides(tmp_path_factory, patch):
    """{model: (ours, theirs)}, loaded from the same folder"""
    loaded = {}
    for name, (pipeline, kind, changes) in MODELS.items():
        folder = edit_folder(tmp_path_factory.mktemp(name) / "m", pipeline, **changes)
        ours, theirs = QwenImage.from_pretrained(folder), reference(folder, kind, patch)
        start_of_prompts(theirs, ours.tokenizer)
        loaded[name] = ours, theirs
    return loaded


def both(sides, pictures, prompt=INSTRUCTION, steps=3, seed=5, **options):
    ours, theirs = sides
    painted = ours(prompt, " ", image=pictures, num_inference_steps=steps, seed=seed, **options)
    expected = theirs(
        image=pictures if len(pictures) > 1 else pictures[0],
        prompt=prompt,
        negative_prompt=" ",
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(seed),
        **options,
    ).images
    return painted, expected


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("size", [(131, 77), (90, 211), (64, 64)], ids=str)
def test_diffusers_edits_a_picture_of_any_size_alike(sides, model, size):
    assert_the_same_pictures(*both(sides[model], [picture(*size)]))
