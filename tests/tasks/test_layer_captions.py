"""Captions of pictures beside diffusers' `get_image_caption`, and where they serve as prompts."""

from importlib import import_module
from itertools import zip_longest

import pytest
import torch
from helpers.layering import layered_folder, reference, transparent
from helpers.painting_over import assert_the_same_pictures
from transformers import GenerationConfig

from qwenimage_ref import QwenImage
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tasks.captions import CHINESE, ENGLISH, caption
from qwenimage_ref.tasks.layers import decompose

CAPTIONS = import_module("qwenimage_ref.tasks.captions")
SHORT = 24  # tokens instead of 512


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """Ours and theirs, both with the official settings for writing, but shorter"""
    folder = layered_folder(tmp_path_factory.mktemp("layered") / "m")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CAPTIONS, "MOST_TOKENS", SHORT)
        ours, theirs = QwenImage.from_pretrained(folder), reference(folder, patch)
        added, generate = ours.tokenizer.added, theirs.text_encoder.generate
        theirs.text_encoder.generation_config = GenerationConfig(
            do_sample=True,
            temperature=0.1,
            top_k=1,
            top_p=0.001,
            repetition_penalty=1.05,
            eos_token_id=[added["<|im_end|>"], added["<|endoftext|>"]],
            pad_token_id=added["<|endoftext|>"],
        )
        theirs.text_encoder.generate = lambda max_new_tokens, **inputs: generate(
            max_new_tokens=SHORT, **inputs
        )
        yield ours, theirs


def test_the_questions_are_those_of_diffusers_byte_for_byte(sides):
    _, theirs = sides
    assert theirs.image_caption_prompt_cn == CHINESE
    assert theirs.image_caption_prompt_en == ENGLISH


@pytest.mark.parametrize("english", [True, False])
def test_diffusers_describes_a_picture_in_the_same_words(sides, english):
    ours, theirs = sides
    img = transparent(131, 77)
    written, expected = caption(ours, img, english), theirs.get_image_caption(img, english, "cpu")
    assert len(written) > SHORT
    wrong = [pair for pair in zip_longest(written, expected) if pair[0] != pair[1]]
    assert len(wrong) <= within("tokens"), wrong[:3]


def test_what_the_vision_tower_sees_is_read_by_the_writer(sides, monkeypatch):
    ours, _ = sides
    usual, see = caption(ours, transparent(64, 64), True), ours.vision.forward
    monkeypatch.setattr(ours.vision, "forward", lambda *patches: -50 * see(*patches))
    assert caption(ours, transparent(64, 64), True) != usual


@pytest.mark.parametrize("prompt", [None, " "])
def test_without_a_prompt_diffusers_takes_apart_by_the_same_caption(sides, prompt):
    ours, theirs = sides
    img = transparent(64, 64)
    options = {"layers": 1, "num_inference_steps": 1, "use_en_prompt": True}
    painted = decompose(ours, img, prompt, seed=5, **options)
    generator = torch.Generator().manual_seed(5)
    expected = theirs(img, prompt, negative_prompt=" ", generator=generator, **options).images
    assert_the_same_pictures(painted, expected[0])


def test_a_model_that_does_not_write_wants_a_prompt():
    with pytest.raises(ValueError, match="prompt must be given: only a layered model writes"):
        caption(QwenImage.from_pretrained(POCKET), transparent(9, 9))
