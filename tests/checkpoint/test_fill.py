"""What a filled network is like, and which networks are not filled."""

import pytest
import torch
from helpers.small_net import Net, network, on_meta, tensors_of
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint import CheckpointError, load_into, save
from qwenimage_ref.checkpoint.fill import Weights, fill, is_finite, name_of, open_official
from qwenimage_ref.checkpoint.packed_linear import PackedLinear, put
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.vae import VAE

SMALL_VAE = VAEConfig(base_dim=4, z_dim=2, latents_mean=(0.1, -0.2), latents_std=(1.1, 1.2))


def test_every_weight_lies_in_one_piece(tmp_path):
    save(network(VAE, SMALL_VAE), tmp_path)
    vae = on_meta(VAE, SMALL_VAE)
    load_into(vae, tmp_path)
    assert all(tensor.is_contiguous() for tensor in vae.state_dict().values())


def test_a_network_is_filled_on_the_device_that_is_asked_for(folder):
    net = on_meta(Net)
    fill(net, open_official(folder))
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    fill(net, open_official(folder), device="meta")
    assert {p.device.type for p in net.parameters()} == {"meta"}


def test_parameters_that_somebody_else_reads_keep_what_they_have(folder):
    net = network(seed=1)
    before = tensors_of(net)
    fill(net, open_official(folder), left=["second."])
    assert torch.equal(net.second.weight, before["second.weight"])
    assert not torch.equal(net.first.weight, before["first.weight"])


def test_plain_weights_are_a_cast_away_from_their_numbers_and_pack_nothing(folder):
    weights = open_official(folder)
    assert weights.packed == {} and not any(map(weights.scaled, weights.places))
    with pytest.raises(NotImplementedError, match="Weights packs nothing"):
        weights.layer("first", torch.nn.Linear(1, 1))


def test_a_network_with_a_packed_layer_is_not_filled_again(folder):
    net = network()
    put(net, "second", PackedLinear(5, 2, None))
    with pytest.raises(CheckpointError, match="network's second is quantised or streamed; load"):
        fill(net, open_official(folder))


def test_a_layer_with_a_hook_is_not_replaced_by_a_packed_one(folder):
    net, weights = network(), open_official(folder)
    weights.packed = {"second": {}}
    net.first.register_forward_hook(lambda *_: None)
    with pytest.raises(NotImplementedError):  # the hook of another layer does no harm
        fill(net, weights)
    net.second.register_forward_hook(lambda *_: None)
    with pytest.raises(CheckpointError, match="second has a LoRA, which packing would lose"):
        fill(net, weights)


@pytest.mark.parametrize(
    "numbers, finite",
    [([1, 2], True), ([1, torch.nan], False), ([torch.nan, torch.nan], False), ([448, -448], True)],
)
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2], ids=str
)
def test_numbers_are_finite_unless_one_of_them_is_not(numbers, finite, dtype):
    assert is_finite(torch.tensor(numbers).to(dtype)) is finite


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_the_number_that_is_not_finite_may_stand_anywhere(wrong, dtype):
    for place in range(100):
        numbers = torch.linspace(-1, 1, 100, dtype=dtype)
        numbers[place] = wrong
        assert not is_finite(numbers) and not is_finite(numbers.reshape(4, 25).T)
    assert is_finite(torch.zeros(0, 3, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool], ids=str)
def test_whole_numbers_are_finite(dtype):
    assert is_finite(torch.tensor([0, 1]).to(dtype))


def test_an_infinity_of_five_bits_of_exponent_is_not_finite():
    assert not is_finite(torch.tensor([1.0, torch.inf]).to(torch.float8_e5m2))


def test_files_are_named_by_their_names_and_a_folder_by_its_path(folder):
    files = [folder / "a.safetensors", str(folder / "b.safetensors")]
    assert name_of(files) == "a.safetensors, b.safetensors"
    assert name_of(folder) == name_of(str(folder)) == str(folder)
    assert open_official(folder).source == str(folder)


def test_a_format_may_read_more_types_than_floats(folder):
    class Whole(Weights):
        types = {*Weights.types, "I32"}

        def numbers(self, name):
            return torch.ones(self.places[name].shape)

    file = next(folder.glob("*.safetensors"))
    save_file(load_file(file) | {"first.bias": torch.ones(5, dtype=torch.int32)}, file)
    net = on_meta(Net)
    fill(net, Whole("whole", open_official(folder).places))
    assert torch.equal(net.first.bias, torch.ones(5))
