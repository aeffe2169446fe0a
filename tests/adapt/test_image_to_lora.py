"""Image to LoRA: the published structure, what it writes, and how it is attached."""

from dataclasses import replace

import pytest
import torch
from helpers import image_to_lora_case as case
from helpers.nets import SMALL, model, velocity
from safetensors.torch import load_file, save_file

from qwenimage_ref.adapt import image_to_lora, lora
from qwenimage_ref.adapt.image_to_lora import COARSE, FINE, STYLE, ImageToLoRA, ImageToLoRAConfig
from qwenimage_ref.adapt.lora_dialects import LoRAError
from qwenimage_ref.checkpoint import CheckpointError, fingerprint
from qwenimage_ref.parity.reference import random_weights

# a product is added up in another order on another processor, and a 4 has no neighbour nearer
# than 5e-7: what is computed twice may differ by a few of these steps
ROUNDING = {"rtol": 1e-5, "atol": 1e-6}
FOR_SMALL = ImageToLoRAConfig(
    num_layers=SMALL.num_layers, inner_dim=32, in_dim=6, compress_dim=4, rank=2, residual_length=0
)


@pytest.mark.parametrize(
    "config, md5, parameters",
    [
        (COARSE, "a166c33455cdbd89c0888a3645ca5c0f", 7_927_234_560),
        (FINE, "a5476e691767a4da6d3a6634a10f7408", 7_573_340_160),
        (STYLE, "0aad514690602ecaff932c701cb4b0bb", 2_406_481_920),
    ],
    ids=["coarse", "fine", "style"],
)
def test_the_three_releases_have_the_published_fingerprints(config, md5, parameters):
    with torch.device("meta"):
        network = ImageToLoRA(config)
    assert fingerprint(network) == md5
    assert sum(each.numel() for each in network.parameters()) == parameters


def test_the_adapters_of_two_pictures_are_diffsynths():
    wanted, got = load_file(case.FILE), case.ours()
    assert got.keys() == wanted.keys() and len(got) == 2 * 2 * 2 * 12  # cases, matrices, blocks
    for name, tensor in wanted.items():
        torch.testing.assert_close(got[name], tensor, **ROUNDING)


def test_the_product_of_joined_adapters_is_the_mean_of_their_products():
    network = case.network(case.SMALL)
    each = [network(x) for x, _ in case.inputs()]
    for name, (A, B) in image_to_lora.joined(each).items():
        mean = sum(one[name][1] @ one[name][0] for one in each) / len(each)
        assert len(A) == len(each) * case.SMALL.rank
        torch.testing.assert_close(B @ A, mean, **ROUNDING)


def test_a_new_network_adds_nothing_and_its_first_gradient_reaches_b():
    network = ImageToLoRA(FOR_SMALL)
    network.initialise()
    matrices = network(torch.ones(FOR_SMALL.in_dim))
    assert all(not B.any() and A.any() for A, B in matrices.values())
    sum((B @ A).sum() for A, B in matrices.values()).backward()
    assert all(p.grad.any() for n, p in network.named_parameters() if "proj_b.proj_out" in n)
    before = velocity(model())
    mmdit = model()
    image_to_lora.attach(mmdit, matrices)
    assert torch.equal(velocity(mmdit), before)


def test_a_written_adapter_is_attached_and_saved_like_any_other(tmp_path):
    network, mmdit, again = ImageToLoRA(FOR_SMALL), model(), model()
    with torch.no_grad():
        image_to_lora.attach(mmdit, network(torch.ones(FOR_SMALL.in_dim)))
    lora.save(mmdit, tmp_path / "style.safetensors")
    report = lora.load(again, tmp_path / "style.safetensors")
    assert report.matched == 12 * SMALL.num_layers
    torch.testing.assert_close(velocity(again), velocity(mmdit), **ROUNDING)
    assert not torch.allclose(velocity(again), velocity(model()), atol=1e-3)


def test_inputs_of_other_shapes_are_refused():
    network, reading = case.network(case.SMALL), case.network(case.READING)
    x, states = case.inputs()[0]
    with pytest.raises(ValueError, match=r"^x must have the shape \(12,\), got \(5,\)$"):
        network(x[:5])
    for wrong, got in ((None, "none"), (states[:3], r"\(3, 6\)")):
        with pytest.raises(ValueError, match=rf"^states must have the shape \(4, 6\), got {got}; "):
            reading(x, wrong)
    with pytest.raises(LoRAError, match="^pictures must be at least one"):
        image_to_lora.joined([])


@pytest.mark.parametrize("reads", [0, 5], ids=["vector alone", "vector and states"])
def test_a_file_says_which_network_it_holds(tmp_path, reads):
    config = replace(FOR_SMALL, residual_length=reads, residual_dim=7, residual_mid_dim=3)
    network, mmdit = random_weights(ImageToLoRA(config), 2), model()
    save_file(network.state_dict(), tmp_path / "i2l.safetensors")
    again = image_to_lora.load(tmp_path / "i2l.safetensors", mmdit)
    inputs = torch.ones(config.in_dim), torch.ones(reads, 7)
    for name, (A, B) in network(*inputs).items():
        assert torch.equal(again(*inputs)[name][0], A) and torch.equal(again(*inputs)[name][1], B)
    assert reads == 0 or again.config == config


def test_files_of_other_networks_and_for_other_transformers_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="must hold a network from pictures to LoRA"):
        image_to_lora.load(tmp_path / "other.safetensors", model())
    for wrong in ({"num_layers": 3}, {"inner_dim": 24, "rank": 1}):
        network = random_weights(ImageToLoRA(replace(FOR_SMALL, **wrong)), 0)
        save_file(network.state_dict(), tmp_path / "deep.safetensors")
        with pytest.raises(CheckpointError, match="of 2 blocks that is 32 wide, got"):
            image_to_lora.load(tmp_path / "deep.safetensors", model())
