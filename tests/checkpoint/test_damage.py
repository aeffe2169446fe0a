"""Whatever a folder holds instead of good weights is refused in one line, and nothing changes."""

import json
import pickle
import shutil
import struct
from pathlib import Path

import pytest
import torch
from helpers import speed
from helpers.small_net import Net, assert_equal, network, on_meta, tensors_of
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint import CheckpointError, load_into

STEM = "diffusion_pytorch_model"


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


def change(folder: Path, **tensors):
    """Rewrite the tensors of a single file; None takes one away. `__` stands for a dot."""
    held = load_file(folder / f"{STEM}.safetensors")
    held |= {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    held = {name: tensor for name, tensor in held.items() if tensor is not None}
    save_file(held, folder / f"{STEM}.safetensors")


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


def test_a_tensor_in_two_files_is_named(folder):
    save_file({"first.weight": torch.ones(5, 3)}, folder / "other.safetensors")
    message = refusal(folder)
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
    change(folder, **{"\x1b[2J\nall is well": torch.ones(2), "long" * 200: torch.ones(2)})
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
def test_a_header_that_lies_about_its_length_is_refused_at_once(folder, length):
    content = (folder / f"{STEM}.safetensors").read_bytes()
    with speed.at_most(1):
        damaged(folder, struct.pack("<Q", length) + content[8:])


def test_a_header_with_a_tensor_beyond_the_end_of_the_file_is_refused(folder):
    header = b'{"first.bias":{"dtype":"F32","shape":[4000000000],"data_offsets":[0,16000000000]}}'
    damaged(folder, struct.pack("<Q", len(header)) + header + bytes(64))


def header_of(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


@pytest.mark.parametrize(
    "header",
    [
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "data_offsets": [0, 4]}}',
        '{"__metadata__": {"format": 1}}',
        '{"__metadata__": []}',
        '{"a": {"dtype": "F32", "shape": [1.0], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [], "data_offsets": [0, 4, 8]}}',
        '{"a": {"dtype": "F32", "shape": [' + "1," * 64 + '1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
    ],
    ids=["key twice", "entry twice", "number in metadata", "metadata list", "fraction", "true",
         "nan", "three offsets", "65 dimensions", "type"],
)  # fmt: skip
def test_a_header_that_parsers_could_read_differently_is_refused(folder, header):
    damaged(folder, header_of(header) + bytes(4))


# -- folders that could be read in two ways -------------------------------------------------------


def test_two_index_files_in_a_folder_are_refused(sharded):
    index = sharded / f"{STEM}.safetensors.index.json"
    shutil.copy(index, sharded / f"{STEM}.fp16.safetensors.index.json")
    message = refusal(sharded)
    assert index.name in message and "fp16" in message and "keep the one" in message


def test_shards_without_their_index_are_refused(sharded):
    (sharded / f"{STEM}.safetensors.index.json").unlink()
    message = refusal(sharded)
    assert "-00001-of-00003" in message and "no index" in message


def test_an_index_of_thousands_of_shards_is_refused_unread(sharded):
    names = {f"{number}.weight": f"{number}.safetensors" for number in range(3_000)}
    edit_index(sharded, **names)
    assert "must name 1 to 1000 shards" in refusal(sharded)


def test_links_into_the_store_of_a_hub_cache_are_followed(sharded, tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "25468b98"
    blobs.mkdir(), snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(sharded.iterdir())):
        file.rename(blobs / f"{number:064x}")  # a store knows no endings
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", f"{number:064x}"))
    loaded = on_meta(Net)
    load_into(loaded, snapshot)
    assert_equal(tensors_of(loaded), tensors_of(network()))


def test_a_link_to_nowhere_is_a_missing_shard(sharded):
    shard = sharded / f"{STEM}-00002-of-00003.safetensors"
    shard.unlink()
    shard.symlink_to(sharded / "blobs" / "gone")
    assert "1 of 3 shards" in refusal(sharded)
