"""The memory that a picture and its prompt take: estimates beside the tensors themselves."""

from pathlib import Path

import pytest
import torch
from helpers.live_memory import LiveMemory

from qwenimage_ref import QwenImage, limits
from qwenimage_ref.limits import (
    block_bytes,
    decoder_bytes,
    demand_memory,
    text_bytes,
)
from qwenimage_ref.vae import STRIP

POCKET = Path(__file__).parents[2] / "data" / "pocket"
PROMPT = "a red circle left of a blue star on a white background "


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def pipe(request):
    return QwenImage.from_pretrained(POCKET, dtype=request.param)


@torch.no_grad()
@pytest.mark.parametrize("count, height, width", [(1, 64, 96), (3, 128, 128), (1, 384, 256)])
def test_a_decoder_s_tensors_are_at_most_the_estimate_and_most_of_it(pipe, count, height, width):
    latents = pipe.noise(count, height, width, seed=0)
    with LiveMemory() as live:
        pipe.to_pictures(latents)
    needed = count * decoder_bytes(height, width, STRIP, pipe.vae.config, pipe.dtype)
    assert 0.6 <= live.peak / needed <= 1


@torch.no_grad()
@pytest.mark.parametrize("count, side", [(1, 256), (5, 128)])
def test_a_block_s_tensors_are_at_most_the_estimate_and_most_of_it(pipe, count, side):
    txt, _ = pipe.encode_prompt([""] * count)
    rows, tokens = side // 16, (side // 16) ** 2
    img, time = torch.zeros(count, tokens, 64), torch.ones(count)
    with LiveMemory() as live:
        pipe.transformer(img.to(pipe.dtype), txt, time.to(pipe.dtype), [(1, rows, rows)])
    needed = block_bytes(tokens + txt.shape[1], pipe.transformer.config, pipe.dtype)
    assert 0.8 <= live.peak / (count * needed) <= 1


@torch.no_grad()
@pytest.mark.parametrize("count, repeats", [(1, 1), (1, 20), (40, 1), (6, 8)])
@pytest.mark.parametrize("padded", [False, True])
def test_the_tensors_of_prompts_are_at_most_the_estimate_and_most_of_it(
    pipe, count, repeats, padded
):
    prompts = [PROMPT * repeats] * count + [""] * padded
    tokens = len(pipe.tokenizer.encode_prompt(prompts[0]))
    with LiveMemory() as live:
        pipe.encode_prompt(prompts)
    needed = text_bytes(len(prompts), tokens, pipe.text_encoder.config, pipe.dtype)
    assert 0.8 <= live.peak / needed <= 1


def test_two_thousand_prompts_are_refused_where_their_states_do_not_fit(pipe, monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda device: 5e8)
    with pytest.raises(ValueError, match="2000 prompts of up to .* tokens must fit .* fewer or"):
        pipe.encode_prompt([PROMPT] * 2000)


def test_the_estimate_leaves_room_for_the_holes_of_the_heap(monkeypatch):
    monkeypatch.setattr(limits, "free_memory", lambda device: 100)
    demand_memory(50, torch.device("cpu"), "it", "use less")
    with pytest.raises(ValueError, match="it must fit into .* of free memory.*; use less"):
        demand_memory(51, torch.device("cpu"), "it", "use less")
