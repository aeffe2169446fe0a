"""LoRA files: numbers at their limits, what is stated of them, and the header that we write."""

import pytest
import torch
from helpers.nets import filled, model
from safetensors.torch import save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint.headers import read_header

QUERY, KEY = "transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.to_k"
WIDTH = 32
LARGEST = torch.finfo(torch.float32).max


def pair_of(down=0.5, up=0.25, rank=1, layer=QUERY) -> dict[str, torch.Tensor]:
    """A pair of equal numbers each"""
    return {
        f"{layer}.lora_A.weight": torch.full((rank, WIDTH), down),
        f"{layer}.lora_B.weight": torch.full((WIDTH, rank), up),
    }


def loaded(tmp_path, tensors, **options):
    save_file(tensors, tmp_path / "some.safetensors")
    return lora.load(model(), tmp_path / "some.safetensors", **options)


def alpha(value: float) -> dict[str, torch.Tensor]:
    return {f"{QUERY}.alpha": torch.tensor(value, dtype=torch.float64)}


# -- numbers


@pytest.mark.parametrize(
    "tensors",
    [
        pair_of(1e30, 1e30),
        pair_of(-1e30, 1e30),
        pair_of(1e30, -1e30),
        pair_of(1e18, 1e18) | alpha(1e3),
        pair_of(1e18, 1e18) | alpha(-1e3),
    ],
    ids=["down and up", "negative down", "negative up", "alpha", "negative alpha"],
)
def test_a_product_beyond_float32_is_refused_with_its_size(tensors, tmp_path):
    with pytest.raises(lora.LoRAError, match=r"within float32, got up to 1e\+(39|60)"):
        loaded(tmp_path, tensors)


@pytest.mark.parametrize(
    "tensors", [pair_of(LARGEST, 1.0), pair_of(1e20, 1e20) | alpha(1e-3)], ids=["1", "alpha"]
)
def test_a_product_up_to_the_largest_float32_is_loaded(tensors, tmp_path):
    assert loaded(tmp_path, tensors).matched == 1


@pytest.mark.parametrize(
    "stored, kept",
    [
        (torch.float64, torch.float32),
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float16),
    ],
    ids=str,
)
def test_matrices_keep_their_type_unless_it_is_float64(stored, kept, tmp_path):
    report = loaded(tmp_path, {key: tensor.to(stored) for key, tensor in pair_of().items()})
    pair = report.adapter.named_pairs()[QUERY]
    assert (pair.lora_A.dtype, pair.lora_B.dtype) == (kept, kept)


def test_a_matrix_of_integers_is_refused(tmp_path):
    tensors = pair_of() | {f"{QUERY}.lora_A.weight": torch.ones(1, WIDTH, dtype=torch.int8)}
    with pytest.raises(lora.LoRAError, match="must have finite real numbers in its down matrix"):
        loaded(tmp_path, tensors)


def test_a_bias_in_half_precision_is_scaled_in_float32(tmp_path):
    bias = torch.linspace(0.1, 1, WIDTH).to(torch.bfloat16)
    tensors = pair_of(rank=3) | {f"{QUERY}.lora_B.bias": bias} | alpha(1.0)
    (change,) = (
        part.bias
        for name, part in loaded(tmp_path, tensors).adapter.named_parts()
        if isinstance(part, lora.Difference)
    )
    assert torch.equal(change, 1 / 3 * bias.float())


def test_a_bias_without_its_matrices_is_refused(tmp_path):
    tensors = pair_of() | {f"{KEY}.lora_B.bias": torch.ones(WIDTH)}
    with pytest.raises(lora.LoRAError, match=f"{KEY} must have two matrices, got no down matrix"):
        loaded(tmp_path, tensors)


@pytest.mark.parametrize(
    "ending, name, shape", [("diff", "weight", r"\[32, 32\]"), ("diff_b", "bias", r"\[32\]")]
)
def test_a_difference_of_another_shape_is_named_beside_the_right_one(ending, name, shape, tmp_path):
    with pytest.raises(lora.LoRAError, match=rf"must have a {name} difference of {shape}, got"):
        loaded(tmp_path, {f"{QUERY}.{ending}": torch.ones(7)})


# -- what is stated


def test_a_report_of_several_strengths_names_the_smallest_and_the_largest(tmp_path):
    tensors = pair_of(rank=2) | pair_of(rank=4, layer=KEY)
    line = str(loaded(tmp_path, tensors | alpha(1.0) | {f"{KEY}.alpha": torch.tensor(8.0)}))
    assert "rank 2 to 4, alpha 1 to 8 (alpha/rank 0.5 to 2), scale 1" in line


def test_keys_of_other_layers_are_refused_unless_only_part_is_asked_for(tmp_path):
    tensors = pair_of() | pair_of(layer="transformer_blocks.9.attn.to_q")
    with pytest.raises(lora.LoRAError, match="2 keys name no layer of this model"):
        loaded(tmp_path, tensors)
    assert loaded(tmp_path, tensors, partial=True).matched == 1


def test_our_file_says_as_libraries_ask_that_its_tensors_are_those_of_torch(tmp_path):
    mmdit = model()
    filled(lora.inject(mmdit, QUERY, rank=1))
    lora.save(mmdit, tmp_path / "ours.safetensors")
    assert read_header(tmp_path / "ours.safetensors").metadata == {"format": "pt"}
