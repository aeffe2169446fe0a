"""The official layout: what is saved is loaded, by us and by diffusers."""

import importlib

import pytest
import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from helpers.small_net import Net, assert_equal, network, on_meta, tensors_of
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint import (
    CheckpointError,
    load_into,
    save,
)
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import MMDiTConfig, VAEConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.vae import VAE

# the folder's face has a function of this name
saving = importlib.import_module("qwenimage_ref.checkpoint.save")

STEM = "diffusion_pytorch_model"
SMALL_MMDIT = MMDiTConfig(
    num_layers=2,
    num_attention_heads=2,
    attention_head_dim=12,
    joint_attention_dim=10,
    in_channels=8,
    out_channels=2,
    axes_dims_rope=(2, 4, 6),
)
SMALL_VAE = VAEConfig(base_dim=4, z_dim=2, latents_mean=(0.1, -0.2), latents_std=(1.1, 1.2))


# -- there and back -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, config", [(MMDiT, SMALL_MMDIT), (VAE, SMALL_VAE)], ids=["mmdit", "vae"]
)
@pytest.mark.parametrize("place", ["cpu", "meta"])
def test_what_is_saved_is_loaded(tmp_path, kind, config, place):
    saved = network(kind, config)
    save(saved, tmp_path)
    loaded = network(kind, config, seed=1) if place == "cpu" else on_meta(kind, config)
    load_into(loaded, tmp_path)
    assert_equal(tensors_of(loaded), tensors_of(saved))


def test_a_shard_is_never_larger_than_asked_unless_one_tensor_is(sharded):
    files = {path.name: load_file(path) for path in sharded.glob("*.safetensors")}
    assert sorted(files) == [f"{STEM}-{n:05d}-of-00003.safetensors" for n in (1, 2, 3)]
    assert [sum(t.nbytes for t in files[name].values()) for name in sorted(files)] == [60, 60, 8]


def test_a_sharded_folder_loads(sharded):
    loaded = on_meta(Net)
    load_into(loaded, sharded)
    assert_equal(tensors_of(loaded), tensors_of(network()))


def test_a_list_of_files_loads(sharded):
    loaded = on_meta(Net)
    load_into(loaded, [str(path) for path in sharded.glob("*.safetensors")])
    assert_equal(tensors_of(loaded), tensors_of(network()))


def test_a_sharded_transformer_loads_in_diffusers(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "SHARD_BYTES", 20_000)
    ours = network(MMDiT, SMALL_MMDIT)
    save(ours, tmp_path)
    SMALL_MMDIT.to_json(tmp_path / "config.json")
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    theirs, report = QwenImageTransformer2DModel.from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), report
    assert_equal(dict(theirs.state_dict()), tensors_of(ours))


def test_the_stored_form_of_the_vae_loads_in_diffusers_and_paints_the_same(tmp_path):
    ours = network(VAE, SMALL_VAE)
    save(ours, tmp_path)
    SMALL_VAE.to_json(tmp_path / "config.json")
    theirs, report = AutoencoderKLQwenImage.from_pretrained(
        tmp_path, output_loading_info=True, local_files_only=True
    )
    assert not any(report.values()), report
    z = torch.randn(1, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        painted = theirs.decode(z.unsqueeze(2)).sample.squeeze(2)
        torch.testing.assert_close(ours.decode(z), painted, atol=1e-5, rtol=0)


def test_the_vae_stores_zeros_where_one_frame_never_looks(tmp_path):
    save(network(VAE, SMALL_VAE), tmp_path)
    stored = load_file(tmp_path / f"{STEM}.safetensors")
    time_convs = [name for name in stored if "time_conv" in name]
    taps = [name for name, t in stored.items() if t.ndim == 5 and name not in time_convs]
    assert len(time_convs) == 8  # two levels down and two up, weight and bias
    assert all(not stored[name].any() for name in time_convs)
    assert all(not stored[name][:, :, :-1].any() for name in taps)
    assert all(stored[name][:, :, -1].any() for name in taps)


@pytest.mark.parametrize("stored", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_cast_to_the_type_asked_for(tmp_path, stored):
    net = network()
    save(net, tmp_path, dtype=stored)
    kept, cast = on_meta(Net), on_meta(Net)
    load_into(kept, tmp_path)
    load_into(cast, tmp_path, dtype=torch.float32)
    expected = {name: t.to(stored) for name, t in tensors_of(net).items()}
    assert_equal(tensors_of(kept), expected)
    assert_equal(tensors_of(cast), {name: t.float() for name, t in expected.items()})
    assert {t.dtype for t in tensors_of(cast).values()} == {torch.float32}


def test_prefixes_that_are_named_unused_stay_on_disk(folder):
    file = folder / f"{STEM}.safetensors"
    others = {"visual.blocks.0": torch.ones(2), "lm_head.weight": torch.ones(2)}
    save_file(load_file(file) | others, file)
    load_into(on_meta(Net), folder, unused=("visual.", "lm_head."))
    with pytest.raises(CheckpointError, match="lm_head.weight"):
        load_into(on_meta(Net), folder, unused=("visual.",))


def test_loaded_weights_do_not_hang_on_the_file(folder):
    loaded = on_meta(Net)
    load_into(loaded, folder)
    file = folder / f"{STEM}.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    assert_equal(tensors_of(loaded), tensors_of(network()))


@pytest.mark.parametrize("first, then", [(64, 10**9), (64, 100), (10**9, 64)])
def test_saving_again_in_other_shards_leaves_nothing_of_the_first_time(
    tmp_path, monkeypatch, first, then
):
    (tmp_path / "config.json").write_text("{}")
    for seed, shard_bytes in enumerate((first, then)):
        monkeypatch.setattr(saving, "SHARD_BYTES", shard_bytes)
        save(network(seed=seed), tmp_path)
    held = [path for path in tmp_path.iterdir() if path.suffix == ".safetensors"]
    assert sum(len(load_file(path)) for path in held) == len(stored_form(network()))
    assert (tmp_path / "config.json").exists()
    loaded = on_meta(Net)
    load_into(loaded, tmp_path)
    assert_equal(tensors_of(loaded), tensors_of(network(seed=1)))
