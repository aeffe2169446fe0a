"""The text tower's small promises; its numbers are compared with transformers' in tests/parity."""

import pytest
import torch
from helpers.small_net import network
from helpers.tiny_model import TINY

from qwenimage_ref.text_encoder import TextEncoder


@pytest.fixture(scope="module")
def tower():
    return network(TextEncoder, TINY.text_encoder).bfloat16()


@torch.no_grad()
def test_image_states_in_float32_are_rounded_to_the_type_that_the_tower_computes_in(tower):
    ids = torch.tensor([[1, TINY.text_encoder.image_token_id % 640, 2]])
    tower.config.image_token_id
    states = torch.randn(1, 48, generator=torch.Generator().manual_seed(0))
    assert torch.equal(tower(ids, image_states=states), tower(ids, image_states=states.bfloat16()))
