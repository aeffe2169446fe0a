"""The official layout: goldens of its structure, and one clear line for every damaged file."""

import contextlib
import hashlib
import json
import pickle
import random
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLQwenImage, QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from qwenimage_ref import checkpoint
from qwenimage_ref.checkpoint import (
    CheckpointError,
    fingerprint,
    index_json,
    load_into,
    save,
    stored_form,
)
from qwenimage_ref.config import MMDiTConfig, VAEConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.vae import VAE

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
LAYERED_MMDIT = replace(MMDiTConfig.official(), use_additional_t_cond=True, use_layer3d_rope=True)
LAYERED_VAE = replace(VAEConfig.official(), input_channels=4)


class Net(nn.Module):
    """The smallest network in which a key, a shape or a shard can be missing."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.second = nn.Linear(5, 2)


def on_meta(kind, *args) -> nn.Module:
    with torch.device("meta"):
        return kind(*args)


def network(kind=Net, *args, seed=0) -> nn.Module:
    return random_weights(on_meta(kind, *args), seed)


def tensors_of(module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def assert_equal(ours: dict, theirs: dict):
    assert ours.keys() == theirs.keys()
    differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert differing == []


def refusal(source, **how) -> str:
    """The line with which `load_into` refuses; the network must come out of it untouched."""
    net = network(seed=9)
    before = tensors_of(net)
    with pytest.raises(CheckpointError) as refused:
        load_into(net, source, **how)
    assert_equal(tensors_of(net), before)
    message = str(refused.value)
    assert message.isprintable() and len(message) < 600  # one line, nothing that moves a cursor
    return message


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder that holds a good `Net`."""
    save(network(), tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def sharded(tmp_path, monkeypatch) -> Path:
    """The same in three shards."""
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 64)
    save(network(), tmp_path / "net")
    return tmp_path / "net"


def change(folder: Path, **tensors):
    """Rewrite the tensors of a single file; None takes one away. `__` stands for a dot."""
    held = load_file(folder / f"{STEM}.safetensors")
    held |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    held = {name: tensor for name, tensor in held.items() if tensor is not None}
    save_file(held, folder / f"{STEM}.safetensors")


# -- structure ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, config, md5",
    [
        (MMDiT, MMDiTConfig.official(), "0319a1cb19835fb510907dd3367c95ff"),
        (MMDiT, LAYERED_MMDIT, "8dc8cda05de16c73afa755e2c1ce2839"),
        (VAE, VAEConfig.official(), "ed4ea5824d55ec3107b09815e318123a"),
        (VAE, LAYERED_VAE, "44b39ddc499e027cfb24f7878d7416b9"),
    ],
    ids=["mmdit", "layered mmdit", "vae", "layered vae"],
)
def test_the_fingerprint_is_the_published_one(kind, config, md5):
    assert fingerprint(on_meta(kind, config)) == md5


def test_the_index_of_the_official_transformer_is_the_published_file_byte_for_byte():
    index = index_json(on_meta(MMDiT, MMDiTConfig.official()), 5_000_000_000, dtype=torch.bfloat16)
    assert len(index) == 198_887
    assert hashlib.sha256(index).hexdigest() == (
        "adeb4aa7230a3940cdfb4f6d7be4131a13cd5275d612fb9f8be90ede8d965b29"
    )


def test_the_index_of_later_releases_counts_five_shards():
    index = index_json(on_meta(MMDiT, MMDiTConfig.official()), 10**10, dtype=torch.bfloat16)
    files = set(json.loads(index)["weight_map"].values())
    assert sorted(files) == [f"{STEM}-{n:05d}-of-00005.safetensors" for n in range(1, 6)]


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
    monkeypatch.setattr(checkpoint, "SHARD_BYTES", 20_000)
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
    change(folder, visual__blocks__0=torch.ones(2), lm_head__weight=torch.ones(2))
    load_into(on_meta(Net), folder, unused=("visual.", "lm_head."))
    assert "lm_head.weight" in refusal(folder, unused=("visual.",))


def test_loaded_weights_do_not_hang_on_the_file(folder):
    loaded = on_meta(Net)
    load_into(loaded, folder)
    file = folder / f"{STEM}.safetensors"
    file.write_bytes(b"\xff" * file.stat().st_size)
    assert_equal(tensors_of(loaded), tensors_of(network()))


# -- folders that hold the wrong things -----------------------------------------------------------


def test_a_missing_folder_is_named(tmp_path):
    message = refusal(tmp_path / "transformer")
    assert str(tmp_path / "transformer") in message and "download" in message


def test_an_empty_folder_is_named(tmp_path):
    message = refusal(tmp_path)
    assert str(tmp_path) in message and "download" in message


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_a_pickle_is_named_and_never_opened(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Trap(tmp_path / "mark")))
    for source in (tmp_path, tmp_path / name):
        message = refusal(source)
        assert name in message and ".safetensors" in message
    assert not (tmp_path / "mark").exists()


def test_a_pickle_that_calls_itself_safetensors_is_never_unpickled(tmp_path):
    trap = pickle.dumps(Trap(tmp_path / "mark"))
    (tmp_path / "model.safetensors").write_bytes(trap)
    assert "fetch it again" in refusal(tmp_path)
    assert not (tmp_path / "mark").exists()
    pickle.loads(trap)  # or this test could not fail
    assert (tmp_path / "mark").exists()


def test_a_missing_shard_is_named(sharded):
    (sharded / f"{STEM}-00002-of-00003.safetensors").unlink()
    message = refusal(sharded)
    assert "1 of 3 shards" in message and "-00002-of-00003" in message and "download" in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {"first.weight": ["a"]}}',
        "[" * 100_000,
        "\ud800",
    ],
    ids=["empty", "cut", "list", "null", "no map", "number", "list in map", "deep", "no text"],
)
def test_an_index_that_is_none_is_named(sharded, text):
    index = sharded / f"{STEM}.safetensors.index.json"
    index.write_bytes(text.encode("utf-8", "surrogatepass"))
    message = refusal(sharded)
    assert index.name in message and "fetch it again" in message


def edit_index(folder: Path, **entries):
    path = folder / f"{STEM}.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"] |= {name.replace("__", "."): file for name, file in entries.items()}
    path.write_text(json.dumps(index))


@pytest.mark.parametrize("name", ["../other.safetensors", "/other.safetensors", "a/b.safetensors"])
def test_an_index_may_not_name_a_file_outside_its_folder(sharded, name):
    save_file(tensors_of(network()), sharded.parent / "other.safetensors")
    edit_index(sharded, first__weight=name)
    assert name in refusal(sharded)


@pytest.mark.parametrize(
    "name", ["..", "", "model.bin", "\x1b[2J.safetensors", "a\nb.safetensors", 7]
)
def test_an_index_with_a_strange_file_name_is_refused(sharded, name):
    edit_index(sharded, first__weight=name)
    assert "not a .safetensors file" in refusal(sharded)


def test_a_key_that_the_index_promises_and_the_shard_lacks_is_named(sharded):
    edit_index(sharded, first__weight=f"{STEM}-00003-of-00003.safetensors")
    message = refusal(sharded)
    assert "-00003-of-00003" in message and "first.weight" in message


def test_a_tensor_in_a_shard_that_the_index_does_not_know_is_named(sharded):
    shard = sharded / f"{STEM}-00003-of-00003.safetensors"
    save_file(load_file(shard) | {"third.weight": torch.ones(2)}, shard)
    assert "third.weight" in refusal(sharded)


def test_a_tensor_in_two_files_is_named(sharded):
    (sharded / f"{STEM}.safetensors.index.json").unlink()
    save_file({"first.weight": torch.ones(5, 3)}, sharded / "other.safetensors")
    message = refusal(sharded)
    assert "first.weight" in message and "other.safetensors" in message


# -- files that hold the wrong things -------------------------------------------------------------


def test_a_missing_tensor_is_named(folder):
    change(folder, second__bias=None)
    message = refusal(folder)
    assert "1 tensors are missing (second.bias)" in message and str(folder) in message
    assert "another network?" in message


def test_an_unknown_tensor_is_named(folder):
    change(folder, third__bias=torch.ones(2))
    message = refusal(folder)
    assert "1 are not known (third.bias)" in message and str(folder) in message


def test_an_unknown_name_cannot_write_on_the_terminal(folder):
    change(folder, **{"\x1b[2J\nall is well": torch.ones(2), "long" * 10_000: torch.ones(2)})
    assert "2 are not known" in refusal(folder)


@pytest.mark.parametrize("shape", [(3, 5), (5, 4), (15,), (5, 3, 1), (0,), ()])
def test_a_wrong_shape_is_named_beside_the_right_one(folder, shape):
    change(folder, first__weight=torch.ones(shape))
    message = refusal(folder)
    assert f"first.weight is {list(shape)} instead of [5, 3]" in message
    assert "config.json" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_no_number_is_named(folder, value, dtype):
    bad = torch.ones(5, dtype=dtype)
    bad[3] = value
    change(folder, first__bias=bad)
    message = refusal(folder)
    assert "first.bias" in message and STEM in message and "fetch it again" in message


def test_a_weight_too_large_for_the_type_asked_for_is_named(folder):
    change(folder, first__bias=torch.full((5,), 1e5))
    load_into(on_meta(Net), folder)
    message = refusal(folder, dtype=torch.float16)
    assert "first.bias" in message and "float16" in message


@pytest.mark.parametrize(
    "dtype",
    [torch.int64, torch.uint8, torch.bool, torch.float64, torch.complex64, torch.float8_e4m3fn],
    ids=str,
)
def test_a_tensor_of_another_type_is_named(folder, dtype):
    change(folder, first__bias=torch.ones(5).to(dtype))
    message = refusal(folder)
    assert "first.bias" in message and "float32" in message


def damaged(folder: Path, content: bytes) -> str:
    file = folder / f"{STEM}.safetensors"
    file.write_bytes(content)
    message = refusal(folder)
    assert file.name in message and "fetch it again" in message
    return message


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -60, -1])
def test_a_file_that_is_cut_short_is_named(folder, length):
    damaged(folder, (folder / f"{STEM}.safetensors").read_bytes()[:length])


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**31, 2**63, 2**64 - 1])
@pytest.mark.timeout(10)
def test_a_header_that_lies_about_its_length_is_refused_at_once(folder, length):
    content = (folder / f"{STEM}.safetensors").read_bytes()
    damaged(folder, struct.pack("<Q", length) + content[8:])


def test_a_header_with_a_tensor_beyond_the_end_of_the_file_is_refused(folder):
    header = b'{"first.bias":{"dtype":"F32","shape":[4000000000],"data_offsets":[0,16000000000]}}'
    damaged(folder, struct.pack("<Q", len(header)) + header + bytes(64))


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A copy with a few changes in the header, or cut, or lengthened."""
    changed = bytearray(content)
    kind = chance.choice(["bit", "bit", "bytes", "swap", "cut", "longer"])
    header = 8 + struct.unpack("<Q", content[:8])[0]
    if kind == "bit":
        changed[chance.randrange(header)] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(header)] = chance.choice(b'"{}[],:0123456789.\\abFBI\xff\0')
    elif kind == "swap":
        a, b = chance.randrange(8, header), chance.randrange(8, header)
        changed[a], changed[b] = changed[b], changed[a]
    elif kind == "cut":
        del changed[chance.randrange(len(changed)) :]
    else:
        changed += chance.randbytes(chance.randint(1, 100))
    return bytes(changed)


@pytest.mark.timeout(60)
def test_three_hundred_damaged_files_are_refused_or_hold_the_same_weights(folder):
    file, chance = folder / f"{STEM}.safetensors", random.Random(0)
    good, expected, refused = file.read_bytes(), tensors_of(network()), 0
    for number in range(300):
        file.write_bytes(mutated(good, chance))
        net = network(seed=9)
        before = tensors_of(net)
        try:
            load_into(net, folder)
        except CheckpointError as error:
            refused += 1
            assert str(error).isprintable(), f"mutation {number}"
            assert_equal(tensors_of(net), before)
        else:
            assert_equal(tensors_of(net), expected)
    assert refused > 200  # most changes do harm; the rest fall on spaces and metadata


# -- places that cannot be written to -------------------------------------------------------------


def test_saving_where_a_file_stands_in_the_way_says_so(tmp_path):
    (tmp_path / "net").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot write") as refused:
        save(network(), tmp_path / "net")
    assert str(tmp_path / "net") in str(refused.value)
    assert (tmp_path / "net").read_text() == "mine"


@contextlib.contextmanager
def full_disk(room: int):
    """Files cannot grow beyond `room` bytes."""
    resource = pytest.importorskip("resource", reason="only Unix can limit the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(folder):
    file = folder / f"{STEM}.safetensors"
    before = file.read_bytes()
    with full_disk(300), pytest.raises(CheckpointError, match="cannot write"):
        save(network(seed=1), folder)
    assert file.read_bytes() == before
    assert list(folder.iterdir()) == [file]


def test_a_disk_that_fills_at_the_second_shard_does_not_mix_new_shards_with_old(sharded):
    files = sorted(sharded.iterdir())
    first, second = files[0].stat().st_size, files[1].stat().st_size
    assert first < second
    with full_disk(first), pytest.raises(CheckpointError, match="cannot write"):
        save(network(seed=1), sharded)
    assert sorted(sharded.iterdir()) == files
    loaded = on_meta(Net)
    load_into(loaded, sharded)
    assert_equal(tensors_of(loaded), tensors_of(network()))


def test_an_interrupted_save_leaves_the_old_file_and_no_part_of_the_new(folder, monkeypatch):
    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half a file")
        raise KeyboardInterrupt

    file = folder / f"{STEM}.safetensors"
    before = file.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        save(network(seed=1), folder)
    assert file.read_bytes() == before
    assert list(folder.iterdir()) == [file]


@pytest.mark.parametrize("first, then", [(64, 10**9), (64, 100), (10**9, 64)])
def test_saving_again_in_other_shards_leaves_nothing_of_the_first_time(
    tmp_path, monkeypatch, first, then
):
    (tmp_path / "config.json").write_text("{}")
    for seed, shard_bytes in enumerate((first, then)):
        monkeypatch.setattr(checkpoint, "SHARD_BYTES", shard_bytes)
        save(network(seed=seed), tmp_path)
    held = [path for path in tmp_path.iterdir() if path.suffix == ".safetensors"]
    assert sum(len(load_file(path)) for path in held) == len(stored_form(network()))
    assert (tmp_path / "config.json").exists()
    loaded = on_meta(Net)
    load_into(loaded, tmp_path)
    assert_equal(tensors_of(loaded), tensors_of(network(seed=1)))
