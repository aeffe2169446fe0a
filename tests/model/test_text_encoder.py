"""What the text tower does with image states; its numbers are compared in tests/parity."""

from dataclasses import replace

import torch
from helpers.small_net import network
from helpers.tiny_model import TINY

from qwenimage_ref.text_encoder import TextEncoder


@torch.no_grad()
def test_image_states_in_float32_are_rounded_to_the_type_that_the_tower_computes_in():
    tower = network(TextEncoder, replace(TINY.text_encoder, image_token_id=600)).bfloat16()
    ids = torch.tensor([[1, 600, 2]])
    states = torch.randn(1, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tower(ids, image_states=states), tower(ids, image_states=states.bfloat16()))
