"""The structure of the official files, told without weights, equals what is published of them."""

import hashlib
import importlib
import json
from dataclasses import replace

import pytest
import torch
from helpers.small_net import Net, network, on_meta
from safetensors.torch import load_file

from qwenimage_ref.adapt.control import BlockwiseConfig, BlockwiseControlNet
from qwenimage_ref.checkpoint import fingerprint, index_json, save
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder
from qwenimage_ref.checkpoint.shards import shard_layout
from qwenimage_ref.checkpoint.stored_form import stored_tensor
from qwenimage_ref.config import MMDiTConfig, TextEncoderConfig, VAEConfig, VisionConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

# the folder's face has a function of this name
saving = importlib.import_module("qwenimage_ref.checkpoint.save")

STEM = "diffusion_pytorch_model"
LAYERED_MMDIT = replace(MMDiTConfig.official(), use_additional_t_cond=True, use_layer3d_rope=True)
SMALL_VAE = VAEConfig(base_dim=4, z_dim=2, latents_mean=(0.1, -0.2), latents_std=(1.1, 1.2))
LAYERED_VAE = replace(VAEConfig.official(), input_channels=4)


def official_text_encoder() -> StoredTextEncoder:
    with torch.device("meta"):
        return StoredTextEncoder(TextEncoder(TextEncoderConfig()), Vision(VisionConfig()))


@pytest.mark.parametrize(
    "kind, config, md5",
    [
        (MMDiT, MMDiTConfig.official(), "0319a1cb19835fb510907dd3367c95ff"),
        (MMDiT, LAYERED_MMDIT, "8dc8cda05de16c73afa755e2c1ce2839"),
        (VAE, VAEConfig.official(), "ed4ea5824d55ec3107b09815e318123a"),
        (VAE, LAYERED_VAE, "44b39ddc499e027cfb24f7878d7416b9"),
        (BlockwiseControlNet, BlockwiseConfig(), "073bce9cf969e317e5662cd570c3e79c"),
        (
            BlockwiseControlNet,
            BlockwiseConfig(extra_condition_channels=4),
            "a9e54e480a628f0b956a688a81c33bab",
        ),
    ],
    ids=["mmdit", "layered mmdit", "vae", "layered vae", "blockwise", "blockwise inpaint"],
)
def test_the_fingerprint_is_the_published_one(kind, config, md5):
    assert fingerprint(on_meta(kind, config)) == md5


def test_the_index_of_the_official_transformer_is_the_published_file_byte_for_byte():
    index = index_json(on_meta(MMDiT, MMDiTConfig.official()), 5_000_000_000, dtype=torch.bfloat16)
    assert len(index) == 198_887
    assert hashlib.sha256(index).hexdigest() == (
        "adeb4aa7230a3940cdfb4f6d7be4131a13cd5275d612fb9f8be90ede8d965b29"
    )


def test_both_towers_and_the_head_are_the_official_text_encoder_byte_for_byte():
    stored = official_text_encoder()
    assert fingerprint(stored) == "8004730443f55db63092006dd9f7110e"
    index = index_json(stored, 5_000_000_000, stem="model", dtype=torch.bfloat16)
    assert len(index) == 57_655
    assert hashlib.sha256(index).hexdigest() == (
        "4be35310ddc165e46e88de4c3fec8c1210014b0b8717f4544d82cc740814ae0c"
    )


def test_the_index_of_later_releases_counts_five_shards():
    index = index_json(on_meta(MMDiT, MMDiTConfig.official()), 10**10, dtype=torch.bfloat16)
    files = set(json.loads(index)["weight_map"].values())
    assert sorted(files) == [f"{STEM}-{n:05d}-of-00005.safetensors" for n in range(1, 6)]


# -- tensors --------------------------------------------------------------------------------------


def test_a_network_in_half_precision_is_stored_in_it_throughout(tmp_path):
    save(network(VAE, SMALL_VAE).to(torch.bfloat16), tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    assert {tensor.dtype for tensor in load_file(file).values()} == {torch.bfloat16}


def test_a_stored_tensor_is_in_one_piece_and_no_part_of_a_graph():
    net = network()
    net.first.weight = torch.nn.Parameter(torch.arange(15.0).view(3, 5).T)
    stored = stored_tensor(net, "first.weight")
    assert stored.is_contiguous() and not stored.requires_grad
    assert torch.equal(stored, net.first.weight)


def test_a_tensor_is_stored_in_the_type_that_is_asked_for():
    assert stored_tensor(network(), "first.bias", torch.float16).dtype == torch.float16


def test_a_network_without_weights_has_none_to_store():
    with pytest.raises(NotImplementedError, match="meta"):
        stored_tensor(on_meta(Net), "first.bias")


# -- files ----------------------------------------------------------------------------------------


def layout_of(module, shard_bytes=5_000_000_000, stem=STEM):
    return shard_layout(module, shard_bytes, stem, torch.bfloat16)


def sizes(layout: dict) -> list[int]:
    return [list(places.values())[-1][1] for _, places in layout.values()]


def test_the_nine_shards_of_the_first_releases_have_the_published_sizes():
    assert sizes(layout_of(on_meta(MMDiT, MMDiTConfig.official()))) == [
        4_989_364_312, 4_984_214_160, 4_946_470_000, 4_984_213_736, 4_946_471_896,
        4_946_451_560, 4_908_690_520, 4_984_232_856, 1_170_918_840,
    ]  # fmt: skip


def test_the_five_shards_of_later_releases_have_the_published_sizes():
    layout = layout_of(on_meta(MMDiT, MMDiTConfig.official()), 10**10)
    assert sizes(layout) == [
        9_973_578_592, 9_987_326_072, 9_987_307_440, 9_930_685_712, 982_130_472,
    ]  # fmt: skip
    _, places = layout[f"{STEM}-00005-of-00005.safetensors"]
    assert places["norm_out.linear.bias"] == (4776, 17064)  # published: bytes 4776 to 17063


def test_the_four_shards_of_the_text_encoder_have_the_published_sizes():
    assert sizes(layout_of(official_text_encoder(), stem="model")) == [
        4_968_243_304, 4_991_495_816, 4_932_751_040, 1_691_924_384,
    ]  # fmt: skip


def test_the_file_of_the_vae_has_the_published_size():
    assert sizes(layout_of(on_meta(VAE, VAEConfig.official()))) == [253_806_966]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shard_bytes", [64, 10**9])
def test_the_layout_is_what_safetensors_writes_byte_for_byte(
    tmp_path, monkeypatch, dtype, shard_bytes
):
    monkeypatch.setattr(saving, "SHARD_BYTES", shard_bytes)
    save(network(), tmp_path, dtype=dtype)
    layout = shard_layout(on_meta(Net), shard_bytes, STEM, dtype)
    assert sorted(layout) == sorted(p.name for p in tmp_path.glob("*.safetensors"))
    for name, (first, places) in layout.items():
        content = (tmp_path / name).read_bytes()
        assert content.startswith(first)
        assert len(content) == sizes({name: (first, places)})[0]
        tensors = load_file(tmp_path / name)
        for key, (start, stop) in places.items():
            held = torch.frombuffer(bytearray(content[start:stop]), dtype=dtype)
            assert torch.equal(held, tensors[key].flatten())
