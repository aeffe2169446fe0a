"""Whatever a folder holds instead of good weights is refused in one line, and nothing changes."""

import json
import pickle
import random
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_net import Net, assert_equal, network, on_meta, tensors_of

from qwenimage_ref import checkpoint
from qwenimage_ref.checkpoint import CheckpointError, load_into, save

STEM = "diffusion_pytorch_model"


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
