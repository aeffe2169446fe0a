"""LoRA over the packed weights of a GGUF file."""

import pytest
import torch
from helpers.gguf_files import as_published, calls, empty

from qwenimage_ref import checkpoint
from qwenimage_ref.adapt import lora
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.formats.gguf_blocks import decode, encode
from qwenimage_ref.load import load_weights


def lora_file(model, path):
    """An adapter of every linear of the blocks, with a B that is not zero."""
    twin = empty()
    twin.load_state_dict(model.state_dict(), assign=True)
    adapter = lora.inject(twin, lora.TARGETS["musubi"], rank=4, alpha=2)
    for number, pair in enumerate(adapter.pairs.values()):
        pair.lora_B.data.normal_(std=0.3, generator=torch.Generator().manual_seed(number))
    lora.save(twin, path)


@torch.no_grad()
def test_a_lora_is_loaded_over_packed_weights_resident_and_streamed(model, stored, tmp_path):
    lora_file(model, tmp_path / "lora.safetensors")
    packed, streamed, plain = empty(), empty(), empty()
    load_weights(packed, stored, torch.float32)
    load_weights(streamed, stored, torch.float32, streamed=True)
    decoded = {
        name: decode(encode(weight, kind), kind)
        for name, weight in model.state_dict().items()
        for kind in [as_published(name, weight)]
    }
    plain.load_state_dict(decoded, assign=True)
    call, answers = calls()[1], []
    bare = packed(*call)
    for network in (packed, streamed, plain):
        assert lora.load(network, tmp_path / "lora.safetensors").matched == 28
        answers.append(network(*call))
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    assert (answers[0] - bare).norm() > 0.05 * bare.norm()
    for network in (packed, streamed):
        with pytest.raises(lora.LoRAError, match="streamed or quantised"):
            lora.merge(network)


def test_gradients_reach_an_adapter_through_packed_weights_as_through_decoded_ones(
    stored, tmp_path
):
    packed, streamed, plain = empty(), empty(), empty()
    load_weights(packed, stored, torch.float32)
    checkpoint.save(packed, tmp_path / "official")
    checkpoint.load_into(plain, tmp_path / "official")
    load_weights(streamed, stored, torch.float32, streamed=True)
    gradients = []
    for network in (packed, streamed, plain):
        adapter = lora.inject(network, "transformer_blocks.*.to_q", rank=4)
        network.train()
        network(*calls()[0]).square().mean().backward()
        gradients.append([pair.lora_B.grad for pair in adapter.pairs.values()])
        assert all(p.grad is None for p in network.parameters())
    for ours, streams, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 0
        assert torch.equal(ours, streams) and (ours - expected).norm() < 1e-5 * expected.norm()


def test_a_lora_is_neither_lost_by_loading_nor_forgotten_by_saving(model, stored):
    lora.inject(model, "transformer_blocks.*.to_q", rank=4)
    with pytest.raises(CheckpointError, match="has a LoRA, which packing would lose"):
        load_weights(model, stored, torch.float32)
    with pytest.raises(CheckpointError, match="a LoRA hangs on the model; merge it"):
        save_gguf(model, stored)
    lora.merge(model)
    assert save_gguf(model, stored).kinds["Q8_0"] == 28
