"""Packed layers at work: LoRA and gradients through them, and products in fp8."""

import pytest
import torch
from helpers.fp8_files import (
    BF16,
    FP8,
    QUERY,
    blocks,
    empty,
    gaussian,
    mixed,
    mixed_in_tensors,
    model,
    plain,
    rows,
    scaled,
    scaled_never_multiplied,
    unpacked_by_hand,
    written,
)
from helpers.nets import filled, velocity

from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.formats import fp8
from qwenimage_ref.formats.fp8 import Fp8Linear, save_fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.parity.reference import random_weights


def pair_of_models(file, write, stream=False):
    """A packed model in float32, and an ordinary one that holds the same numbers."""
    tensors, packed = written(file, write), empty()
    load_weights(packed, file, torch.float32, streamed=stream)
    twin = unpacked_by_hand(tensors).float()
    for name, linear in named_linears(packed).items():
        if not stream and isinstance(linear, Fp8Linear):
            twin.get_submodule(name).weight.data = linear.unpacked(torch.float32)
    return packed, twin


def gradients(mmdit, adapter):
    with torch.enable_grad():
        velocity.__wrapped__(mmdit).pow(2).mean().backward()
    return {name: p.grad for name, p in adapter.named_parameters() if p.grad is not None}


def test_a_lora_file_acts_on_a_packed_model_as_on_an_ordinary_one(file, tmp_path):
    packed, twin = pair_of_models(file, rows)
    trained = random_weights(empty(), 0)
    filled(lora.inject(trained, lora.TARGETS["musubi"], rank=2))
    lora.save(trained, tmp_path / "lora.safetensors")
    without_ = velocity(packed)
    for mmdit in (packed, twin):
        assert lora.load(mmdit, tmp_path / "lora.safetensors").matched == 28
    torch.testing.assert_close(velocity(packed), velocity(twin))
    assert not torch.equal(velocity(packed), without_)


@pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])
def test_gradients_reach_an_adapter_through_packed_layers(file, stream):
    packed, twin = pair_of_models(file, plain, stream)  # one without rounding of the products
    both = []
    for mmdit in (packed, twin):
        adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
        both.append(gradients(mmdit.train(), adapter))
    assert both[0].keys() == both[1].keys() and len(both[0]) > 40
    for name in both[0]:
        torch.testing.assert_close(*(one[name] for one in both), msg=name)


def test_nothing_unpacked_is_kept_for_the_way_back(file):
    numbers = 64 * 256  # of the large layers of an MLP
    kept = []

    def keep(tensor):
        if tensor.ndim == 2 and tensor.numel() == numbers:
            kept.append(tensor.dtype)
        return tensor

    for mmdit, types in zip(pair_of_models(file, rows), ({FP8}, {torch.float32})):
        lora.inject(mmdit, lora.TARGETS["musubi"], rank=2)
        kept.clear()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            velocity.__wrapped__(mmdit)
        assert set(kept) == types


def test_biases_of_packed_layers_can_be_trained(file):
    packed, twin = pair_of_models(file, plain)
    for mmdit in (packed, twin):
        mmdit.requires_grad_(False)
        mmdit.img_in.bias.requires_grad_(True)
        mmdit.get_submodule(QUERY).bias.requires_grad_(True)
        with torch.enable_grad():
            velocity.__wrapped__(mmdit).pow(2).mean().backward()
    ours, theirs = (m.get_submodule(QUERY).bias.grad for m in (packed, twin))
    torch.testing.assert_close(ours, theirs)
    assert theirs.any()


def test_an_adapter_is_not_merged_into_fp8(file):
    written(file, rows)
    mmdit = empty()
    load_weights(mmdit, file, BF16)
    lora.inject(mmdit, lora.TARGETS["diffusers"], rank=2)
    with pytest.raises(lora.LoRAError, match="no plain weight .* the adapter works unmerged"):
        lora.merge(mmdit)


@pytest.fixture
def device_with_fp8(monkeypatch):
    """The processor stands in for such a device -> what it was asked to multiply."""
    asked = []

    def product(a, b, *, scale_a, scale_b, bias, out_dtype):
        assert a.dtype == b.dtype == FP8 and a.is_contiguous() and b.t().is_contiguous()
        assert scale_a.dtype == scale_b.dtype == torch.float32
        one, by_row = ((), ()), ((len(a), 1), (1, b.shape[1]))
        assert (tuple(scale_a.shape), tuple(scale_b.shape)) in (one, by_row)
        assert scale_a.is_contiguous() and scale_b.is_contiguous()
        assert out_dtype == BF16 and (bias is None or bias.dtype == BF16)
        asked.append(scale_a)
        y = (a.float() @ b.float()) * scale_a * scale_b
        return (y if bias is None else y + bias.float()).to(out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", product)
    monkeypatch.setattr(fp8, "has_fp8_matmul", lambda device: True)
    return asked


@pytest.mark.parametrize("write", [plain, scaled, mixed, rows], ids=lambda write: write.__name__)
def test_a_product_in_fp8_is_near_the_exact_one(file, device_with_fp8, write):
    written(file, write)
    exact, fast = empty(), empty()
    load_weights(exact, file, BF16)
    load_weights(fast, file, BF16, fast=True)
    ours, theirs = velocity(fast, BF16).float(), velocity(exact, BF16).float()
    assert len(device_with_fp8) == 28
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.1


def test_the_scale_of_inputs_is_that_of_the_file(file, device_with_fp8):
    written(file, mixed_in_tensors)
    mmdit = empty()
    load_weights(mmdit, file, BF16, fast=True)
    velocity(mmdit, BF16)
    assert {round(scale.item(), 6) for scale in device_with_fp8} == {0.02}


@pytest.mark.parametrize("write", [scaled_never_multiplied, blocks], ids=lambda w: w.__name__)
def test_files_that_forbid_it_and_scales_of_blocks_are_multiplied_exactly(
    file, device_with_fp8, write
):
    written(file, write)
    mmdit = empty()
    load_weights(mmdit, file, BF16, fast=True)
    velocity(mmdit, BF16)
    assert device_with_fp8 == []


def test_training_and_float32_are_multiplied_exactly(file, device_with_fp8):
    written(file, rows)
    mmdit = empty()
    load_weights(mmdit, file, torch.float32, fast=True)
    velocity(mmdit)
    load_weights(mmdit := empty(), file, BF16, fast=True)
    lora.inject(mmdit, lora.TARGETS["diffusers"], rank=1)
    layer = mmdit.get_submodule(QUERY)
    layer(torch.ones(2, 64, dtype=BF16, requires_grad=True))
    assert device_with_fp8 == []
    layer(torch.ones(2, 64, dtype=BF16))
    assert len(device_with_fp8) == 1


def demand_product(by_row: bool) -> None:
    """Torch alone is asked, so that an error of ours cannot pass for a product that is missing."""
    ones = torch.ones(16, 16).to(FP8)
    across, down = ((16, 1), (1, 16)) if by_row else ((), ())
    scales = {"scale_a": torch.ones(across), "scale_b": torch.ones(down)}
    try:
        torch._scaled_mm(ones, ones.t(), **scales, out_dtype=BF16)
    except (NotImplementedError, RuntimeError) as error:
        pytest.skip(f"this build of torch has no such product on the processor: {error}")


@pytest.mark.parametrize("granularity", ["plain", "tensor", "row"])
def test_torchs_own_product_takes_what_it_is_given(file, granularity):
    demand_product(by_row=granularity == "row")
    save_fp8(model(), file, granularity)
    load_weights(mmdit := empty(), file, BF16)
    layer, x = mmdit.get_submodule(QUERY), gaussian(1, 3, 5, 64).to(BF16)
    ours, exact = layer.multiply_packed(x), layer(x).float()
    assert ours.shape == exact.shape and (ours - exact).norm() / exact.norm() < 0.06


@pytest.mark.parametrize("capability, has", [((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_a_device_multiplies_in_fp8_from_capability_8_9_on(monkeypatch, capability, has):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fp8.has_fp8_matmul(torch.device("cuda")) == has
    assert not fp8.has_fp8_matmul(torch.device("cpu"))


def test_a_model_computes_exactly_unless_asked_otherwise(file, device_with_fp8):
    written(file, rows)
    load_weights(mmdit := empty(), file, BF16)
    velocity(mmdit, BF16)
    assert device_with_fp8 == []
