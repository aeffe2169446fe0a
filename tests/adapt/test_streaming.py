"""Networks that stay on disk: bit for bit the resident ones, and one pass for all calls."""

import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.tiny_model import TINY
from PIL import Image
from safetensors.torch import save_file

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.adapt import streaming
from qwenimage_ref.adapt.streaming import stream
from qwenimage_ref.checkpoint import forge as forge_module
from qwenimage_ref.checkpoint import load_into, save
from qwenimage_ref.checkpoint.fill import Weights, fill
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.headers import find_tensors
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.checkpoint.packed_linear import PackedLinear
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.load import load_weights
from qwenimage_ref.parity.reference import random_weights

DTYPES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "float32"])
LANGUAGE = ("visual.", "lm_head.")  # what the text tower leaves on disk


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    """The tiny model in several shards, so that blocks straddle two."""
    folder = tmp_path_factory.mktemp("forged") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forge_module, "SHARD_BYTES", 70_000)
        forge(folder, TINY)
    return folder


@pytest.fixture
def model(forged, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(forged, tmp_path / "model")


def mmdits(folder, dtype):
    resident, streamed = (empty_network(folder, "transformer") for _ in range(2))
    load_into(resident, folder / "transformer", dtype)
    load_weights(streamed, folder / "transformer", dtype, streamed=True)
    return resident, streamed


def empty_mmdit():
    with torch.device("meta"):
        return forge_module.MMDiT(TINY.transformer)


def towers(folder, dtype):
    resident, streamed = (empty_network(folder, "text_encoder") for _ in range(2))
    load_into(resident, folder / "text_encoder", dtype, unused=LANGUAGE)
    load_weights(streamed, folder / "text_encoder", dtype, streamed=True)
    return resident, streamed


def branches(dtype):
    """Two branches of guidance for two pictures: texts of other lengths, one of them padded."""
    generator = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    img, sigma, grids = noise(2, 12, 64), torch.tensor([0.7, 0.3]), [(1, 3, 4)]
    mask = torch.arange(9) < torch.tensor([[4], [9]])
    return [
        (img, noise(2, 5, 48), sigma, grids, None),
        (img, noise(2, 9, 48), sigma, grids, mask),
    ]


def prompts():
    """Two calls of the text tower, the first a padded batch."""
    ids = torch.randint(0, 640, (2, 11), generator=torch.Generator().manual_seed(0))
    return [(ids, torch.arange(11) < torch.tensor([[11], [6]])), (ids[:1, :7], None)]


def assert_equal(ours, theirs):
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs))
    assert all(a.float().std() > 0.01 for a in ours)


@DTYPES
@torch.no_grad()
def test_eight_streamed_blocks_are_the_resident_ones_bit_for_bit_in_both_branches(forged, dtype):
    resident, streamed = mmdits(forged, dtype)
    assert len(streamed.transformer_blocks) == 8
    expected = [resident(*call) for call in branches(dtype)]
    assert_equal(streamed.many(branches(dtype)), expected)
    assert_equal(resident.many(branches(dtype)), expected)


class Bytes(PackedLinear):
    """Weights in whole bytes, 0 to 255 for -0.128 to 0.127."""

    def __init__(self, linear):
        super().__init__(linear.in_features, linear.out_features, linear.bias)
        weight = torch.empty(linear.weight.shape, dtype=torch.uint8, device="meta")
        self.weight = torch.nn.Parameter(weight, requires_grad=False)

    def unpacked(self, dtype):
        assert self.weight.dtype == torch.uint8
        return ((self.weight.float() - 128) / 1000).to(dtype)


class ByteWeights(Weights):
    """The smallest format: what it packs and as what."""

    types = {*Weights.types, "U8"}

    def layer(self, name, linear):
        return Bytes(linear)


@DTYPES
@pytest.mark.parametrize("fill_or_stream", [fill, stream])
@torch.no_grad()
def test_packed_layers_are_read_from_where_they_lie_and_are_not_cast(
    forged, tmp_path, dtype, fill_or_stream
):
    resident, packed = empty_mmdit(), empty_mmdit()
    load_into(resident, forged / "transformer", dtype)
    weights, in_bytes = ByteWeights("bytes", find_tensors(forged / "transformer")), {}
    for i, block in enumerate(resident.transformer_blocks):
        for path in ("attn.to_q", "img_mlp.net.2"):
            linear, name = block.get_submodule(path), f"transformer_blocks.{i}.{path}"
            numbers = (linear.weight.float() * 1000 + 128).round().clamp(0, 255)
            in_bytes[f"{name}.weight"] = numbers.to(torch.uint8)
            linear.weight.copy_((in_bytes[f"{name}.weight"].float() - 128) / 1000)
    save_file(in_bytes, tmp_path / "bytes.safetensors")
    weights.places |= find_tensors(tmp_path / "bytes.safetensors")
    weights.packed = {
        key.removesuffix(".weight"): {"weight": weights.places[key]} for key in in_bytes
    }
    fill_or_stream(packed, weights, dtype)
    call = branches(dtype)[1]
    assert_equal([packed(*call)], [resident(*call)])


@DTYPES
@torch.no_grad()
def test_the_streamed_text_tower_is_the_resident_one_bit_for_bit(forged, dtype):
    resident, streamed = towers(forged, dtype)
    expected = [resident(*call) for call in prompts()]
    assert_equal(streamed.many(prompts()), expected)
    assert_equal(resident.many(prompts()), expected)


@torch.no_grad()
def test_weights_in_float32_files_are_streamed_as_they_lie_there(tmp_path):
    resident, streamed = random_weights(forge_module.MMDiT(TINY.transformer), 0), empty_mmdit()
    save(resident, tmp_path)
    load_weights(streamed, tmp_path, torch.float32, streamed=True)
    call = branches(torch.float32)[1]
    assert_equal([streamed(*call)], [resident(*call)])


@torch.no_grad()
def test_streamed_weights_are_aligned_as_torch_aligns_its_own_memory(forged):
    _, streamed = mmdits(forged, torch.bfloat16)
    for block in streamed.transformer_blocks:
        _, weights = block.args
        assert not any(weight.data_ptr() % 64 for weight in weights.values())


@torch.no_grad()
def test_a_streamed_network_is_called_as_the_resident_one_and_has_its_hook(forged):
    resident, streamed = mmdits(forged, torch.bfloat16)
    call, seen = branches(torch.bfloat16)[0], {"ours": [], "theirs": []}

    def watch(name):
        return lambda i, img: seen[name].append((i, img.float().sum().item())) or img * 1.5

    expected = resident(*call, after_block=watch("theirs"))
    assert_equal([streamed(*call, after_block=watch("ours"))], [expected])
    assert seen["ours"] == seen["theirs"] and len(seen["ours"]) == 8


@torch.no_grad()
def test_all_calls_ride_on_one_pass_over_the_weights(forged, monkeypatch):
    _, mmdit = mmdits(forged, torch.bfloat16)
    _, tower = towers(forged, torch.bfloat16)
    read, whole = [], streaming.read_through
    monkeypatch.setattr(streaming, "read_through", lambda place: (read.append(place), whole(place)))
    mmdit.many(branches(torch.bfloat16))
    assert len(read) == len(set(read)) == 8 * 32
    read.clear()
    tower.many(prompts())
    assert len(read) == len(set(read)) == 3 * 12


@torch.no_grad()
def test_one_block_is_read_ahead_and_never_a_second(forged, monkeypatch):
    _, mmdit = mmdits(forged, torch.bfloat16)
    blocks, whole = mmdit.transformer_blocks, streaming.read_through
    number = {place: i for i, places in enumerate(blocks.places) for place in places.values()}
    read = []
    monkeypatch.setattr(
        streaming, "read_through", lambda place: (whole(place), read.append(number[place]))
    )
    for i, _ in enumerate(blocks):
        # whatever the threads do: all up to this block is there, of the one behind it some perhaps
        seen = list(read)
        assert all(seen.count(before) == 32 for before in range(i + 1))
        assert set(seen) <= set(range(i + 2))


def test_what_the_cache_has_room_for_is_kept_for_the_next_pass_and_the_rest_forgotten(
    forged, monkeypatch
):
    _, mmdit = mmdits(forged, torch.bfloat16)
    blocks, forgotten = mmdit.transformer_blocks, []
    size = sum(place.stop - place.start for place in blocks.places[0].values())
    monkeypatch.setattr(streaming, "forget", lambda places: forgotten.append(set(places)))
    assert len(list(blocks)) == 8 and forgotten == []  # a small network stays as a whole
    # seven tenths of the free memory, here a little less than four blocks
    monkeypatch.setattr(streaming, "free_memory", lambda device: 3.95 * size / 0.7)
    assert len(list(blocks)) == 8
    assert forgotten == [set(places.values()) for places in blocks.places[3:]]


def test_blocks_that_fill_the_cache_to_its_last_byte_are_kept(forged, monkeypatch):
    _, mmdit = mmdits(forged, torch.bfloat16)
    blocks, forgotten = mmdit.transformer_blocks, []
    size = sum(place.stop - place.start for place in blocks.places[0].values())
    monkeypatch.setattr(streaming, "forget", lambda places: forgotten.append(set(places)))
    monkeypatch.setattr(streaming, "CACHED", 1)
    monkeypatch.setattr(streaming, "free_memory", lambda device: 4 * size)
    assert len(list(blocks)) == 8
    assert forgotten == [set(places.values()) for places in blocks.places[4:]]


@torch.no_grad()
def test_forgotten_blocks_are_read_again_and_give_the_same_bits(forged, monkeypatch):
    resident, streamed = mmdits(forged, torch.bfloat16)
    monkeypatch.setattr(streaming, "free_memory", lambda device: 0)
    call = branches(torch.bfloat16)[1]
    for _ in range(2):
        assert_equal([streamed(*call)], [resident(*call)])


@torch.no_grad()
def test_a_block_holds_no_memory_when_the_next_is_there(forged):
    _, mmdit = mmdits(forged, torch.bfloat16)
    kept = []
    for block in mmdit.transformer_blocks:
        assert all(not weights for weights in kept)
        _, weights = block.args
        assert len(weights) == 32
        kept.append(weights)


@torch.no_grad()
def test_a_block_takes_the_memory_of_the_one_before_unless_gradients_are_kept(forged):
    _, mmdit = mmdits(forged, torch.bfloat16)
    for grad, memories in ((False, 1), (True, 8)):
        kept = []
        with torch.set_grad_enabled(grad):
            for block in mmdit.transformer_blocks:
                _, weights = block.args
                kept.append(weights["attn.to_q.weight"].untyped_storage())
        assert len({storage.data_ptr() for storage in kept}) == memories


def test_streamed_blocks_are_in_evaluation_mode(forged):
    _, mmdit = mmdits(forged, torch.bfloat16)
    blocks = mmdit.transformer_blocks
    assert not any(
        module.training for block in (blocks, *blocks.blocks) for module in block.modules()
    )


@torch.no_grad()
def test_no_file_is_mapped_so_that_none_can_kill_the_process_by_shrinking(forged):
    _, mmdit = mmdits(forged, torch.bfloat16)
    maps = "/proc/self/maps"
    if not os.path.exists(maps):
        pytest.skip("only Linux tells what is mapped")
    for _ in mmdit.transformer_blocks:
        with open(maps) as file:
            assert str(forged) not in file.read()


def spoil(kind: str, shard):
    if kind == "cut short":
        os.truncate(shard, shard.stat().st_size - 4096)
    elif kind == "written to":
        with shard.open("r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(b"\0\1")
        os.utime(shard, ns=(1, 1))  # the clock of some file systems ticks slowly
    elif kind == "replaced":
        shutil.copy2(shard, shard.with_suffix(".new"))
        shard.with_suffix(".new").replace(shard)
    else:
        shard.unlink()


@pytest.mark.parametrize("kind", ["cut short", "written to", "replaced", "gone"])
@torch.no_grad()
def test_a_file_that_changes_under_a_stream_is_named(model, kind):
    _, mmdit = mmdits(model, torch.bfloat16)
    seen = []
    with pytest.raises(CheckpointError, match=r"diffusion_pytorch_model-\d+-of-\d+.* changed"):
        for _ in mmdit.transformer_blocks:
            seen.append(len(seen))
            if len(seen) == 3:
                for shard in sorted((model / "transformer").glob("*.safetensors")):
                    spoil(kind, shard)
    assert seen == [0, 1, 2]  # the next block is not computed


@torch.no_grad()
def test_an_embedding_that_changes_under_a_stream_is_named(model):
    _, tower = towers(model, torch.bfloat16)
    place = tower.model.embed_tokens.place
    os.truncate(place.file, place.start + 100)
    with pytest.raises(CheckpointError, match=f"{place.file.name} changed while it was in use"):
        tower.many(prompts())


@torch.no_grad()
def test_a_file_that_changes_while_it_is_read_is_named(model, monkeypatch):
    _, mmdit = mmdits(model, torch.bfloat16)
    read = streaming.read_tensor

    def overtaken(place, memory):
        tensor = read(place, memory)
        os.utime(place.file, ns=(1, 1))  # as a writer does
        return tensor

    monkeypatch.setattr(streaming, "read_tensor", overtaken)
    with pytest.raises(CheckpointError, match="changed while it was in use; load the model again"):
        next(iter(mmdit.transformer_blocks))


@pytest.mark.parametrize(
    "part, name",
    [("transformer", "transformer_blocks"), ("text_encoder", "model.embed_tokens")],
)
def test_a_streamed_network_is_not_filled_again(forged, part, name):
    network = empty_network(forged, part)
    load_weights(network, forged / part, torch.bfloat16, streamed=True)
    with pytest.raises(CheckpointError, match=f"network's {name} is quantised or streamed"):
        load_weights(network, forged / part, torch.bfloat16)


def test_a_missing_shard_and_a_foreign_tensor_are_told_when_the_stream_is_opened(model):
    shards = sorted((model / "transformer").glob("*.safetensors"))
    other = empty_network(model, "transformer")
    other.transformer_blocks[7].attn.to_q.bias = None
    with pytest.raises(CheckpointError, match="1 are not known .*7.attn.to_q.bias"):
        load_weights(other, model / "transformer", torch.bfloat16, streamed=True)
    shards[0].unlink()
    with pytest.raises(CheckpointError, match="1 of [0-9]+ shards"):
        load_weights(
            empty_network(model, "transformer"),
            model / "transformer",
            torch.bfloat16,
            streamed=True,
        )


def test_a_network_of_another_shape_is_told_when_the_stream_is_opened(forged):
    with torch.device("meta"):
        other = forge_module.MMDiT(TINY.transformer)
        other.transformer_blocks[3].img_mlp.net[2] = torch.nn.Linear(96, 48)
    with pytest.raises(CheckpointError, match="transformer_blocks.3.img_mlp.net.2.weight is"):
        load_weights(other, forged / "transformer", torch.bfloat16, streamed=True)


@torch.no_grad()
def test_streamed_blocks_compute_on_the_device_that_was_asked_for(forged):
    mmdit = empty_network(forged, "transformer")
    load_weights(mmdit, forged / "transformer", torch.bfloat16, "meta", streamed=True)
    calls = [
        tuple(x.to("meta") if isinstance(x, torch.Tensor) else x for x in call)
        for call in branches(torch.bfloat16)
    ]
    assert [x.device.type for x in mmdit.many(calls)] == ["meta", "meta"]


@torch.no_grad()
def test_the_rows_of_a_streamed_embedding_are_looked_up_on_the_cpu_for_its_device(forged):
    resident, _ = towers(forged, torch.float32)
    encoder = empty_network(forged, "text_encoder")
    load_weights(encoder, forged / "text_encoder", torch.float32, "meta", streamed=True)
    rows, ids = encoder.model.embed_tokens, torch.tensor([[639, 0, 5], [0, 0, 639]])
    elsewhere = SimpleNamespace(cpu=lambda: ids)  # as ids on a GPU would be
    answer = rows(elsewhere)
    assert (answer.device.type, answer.dtype, answer.shape) == ("meta", torch.float32, (2, 3, 48))
    rows.device = "cpu"
    assert torch.equal(rows(elsewhere), resident.model.embed_tokens(ids))


def test_a_streamed_pipeline_paints_the_picture_of_the_resident_one(forged):
    asked = dict(negative_prompt=["", " "], height=32, width=48, num_inference_steps=2, seed=1)
    texts = ["a red circle", "a blue star left of a green ring"]
    streamed = QwenImage.from_pretrained(forged, stream=True)
    resident = QwenImage.from_pretrained(forged, dtype=torch.bfloat16)
    assert streamed.dtype == torch.bfloat16
    for ours, theirs in zip(streamed(texts, **asked), resident(texts, **asked)):
        assert ours.tobytes() == theirs.tobytes()


def test_paint_stream_paints_the_picture_that_is_painted_from_memory(tmp_path):
    pictures = []
    for name, options in (("streamed.png", ["--stream"]), ("resident.png", [])):
        command = ["paint", "a red circle", "-o", str(tmp_path / name), "--steps", "2", *options]
        assert cli.main(command) == 0
        pictures.append(np.asarray(Image.open(tmp_path / name)).astype(int))
    streamed, resident = pictures
    assert streamed.std() > 10  # a picture, not one flat colour
    # a stream computes in bf16, the pocket model otherwise in float32
    assert np.abs(streamed - resident).mean() < 2
