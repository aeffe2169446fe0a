"""Headers of .safetensors files: every type with its size, limits to the last one, metadata."""

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from qwenimage_ref.checkpoint.headers import (
    LONGEST_NAME,
    CheckpointError,
    find_tensors,
    open_file,
    read_header,
    read_tensor,
    survey,
)

TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu, "F16": torch.float16,
    "BF16": torch.bfloat16, "I16": torch.int16, "U16": torch.uint16, "F32": torch.float32,
    "I32": torch.int32, "U32": torch.uint32, "F64": torch.float64, "I64": torch.int64,
    "U64": torch.uint64, "C64": torch.complex64,
}  # fmt: skip


def written(folder, header: dict, content=b"", name="a.safetensors"):
    """A file of this header, and of this content behind it"""
    text = json.dumps(header).encode()
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + content)
    return folder / name


def entry(shape, stop: int, dtype="F32", start=0) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


# -- types


@pytest.mark.parametrize("spelled", TYPES)
def test_a_tensor_of_every_type_of_the_library_is_placed_with_its_size(spelled, tmp_path):
    dtype = TYPES[spelled]
    bytes_of = torch.arange(12 * dtype.itemsize).to(torch.uint8) % 2
    save_file({"a": bytes_of.view(dtype).view(3, 4)}, tmp_path / "a.safetensors")
    place = read_header(tmp_path / "a.safetensors")["a"]
    assert (place.dtype, place.shape) == (spelled, (3, 4))
    assert place.stop - place.start == 12 * dtype.itemsize


@pytest.mark.parametrize("spelled", ["BF16", "F16", "F32", "F8_E4M3", "U8"])
def test_a_tensor_is_read_as_it_was_written(spelled, tmp_path):
    tensor = torch.arange(12).view(3, 4).to(TYPES[spelled])
    save_file({"a": tensor, "b": torch.ones(2)}, tmp_path / "a.safetensors")
    read = read_tensor(find_tensors(tmp_path)["a"])
    assert read.dtype == tensor.dtype and torch.equal(read.float(), tensor.float())


# -- limits


def test_a_file_without_a_tensor_is_read(tmp_path):
    assert read_header(written(tmp_path, {})) == {}


def test_a_header_longer_than_its_file_is_named_with_both_sizes(tmp_path):
    file = tmp_path / "a.safetensors"
    file.write_bytes(struct.pack("<Q", 3) + b"{}")
    with pytest.raises(CheckpointError, match=r"\(10 bytes hold no header of 3\)"):
        read_header(file)


def test_a_name_may_have_a_thousand_characters_and_no_more(tmp_path):
    assert LONGEST_NAME == 1000
    assert len(read_header(written(tmp_path, {"x" * 1000: entry([1], 4)}, bytes(4)))) == 1
    with pytest.raises(CheckpointError, match="a name has 1,001 characters; at most 1,000 do"):
        read_header(written(tmp_path, {"x" * 1001: entry([1], 4)}, bytes(4)))


def test_a_tensor_may_have_as_many_dimensions_as_torch_allows(tmp_path):
    shape = [1] * 64
    place = read_header(written(tmp_path, {"a": entry(shape, 4)}, bytes(4)))["a"]
    assert place.shape == torch.zeros(shape).shape


def test_a_name_with_spaces_is_quoted_in_one_line(tmp_path):
    with pytest.raises(CheckpointError, match=r"damaged \(a b is of type F99\); fetch it again"):
        read_header(written(tmp_path, {"a b": entry([1], 4, "F99")}, bytes(4)))


def test_a_tensor_over_another_is_refused(tmp_path):
    header = {"a": entry([2], 8), "b" * 500: entry([2], 12, start=4)}
    line = r"damaged \(b*\.\.\. does not begin where the tensor before it ends\)"
    with pytest.raises(CheckpointError, match=line):
        read_header(written(tmp_path, header, bytes(12)))


def test_tensors_are_placed_in_the_order_of_their_bytes(tmp_path):
    header = {"a": entry([1], 12, start=8), "b": entry([2], 8), "c": entry([0], 8, start=8)}
    assert list(read_header(written(tmp_path, header, bytes(12)))) == ["b", "c", "a"]


# -- several files


def test_the_metadata_of_all_files_are_found_together(tmp_path):
    first = written(tmp_path, {"__metadata__": {"one": "1"}, "a": entry([1], 4)}, bytes(4))
    second = {"__metadata__": {"two": "2"}, "b": entry([1], 4)}
    places = find_tensors([first, written(tmp_path, second, bytes(4), "b.safetensors")])
    assert sorted(places) == ["a", "b"] and places.metadata == {"one": "1", "two": "2"}


def test_all_that_can_be_read_is_found_beside_what_is_wrong(tmp_path):
    good = written(tmp_path, {"a": entry([1], 4)}, bytes(4))
    bad = written(tmp_path, {"b": entry([1], 4)}, bytes(3), "b.safetensors")
    places, ((file, problem),) = survey(tmp_path)
    assert list(places) == ["a"] and places["a"].file == good
    assert file == bad and "cut short or damaged" in problem


def test_attributes_that_macos_keeps_beside_a_file_are_no_weights(tmp_path):
    written(tmp_path, {"a": entry([1], 4)}, bytes(4))
    for name in ("._a.safetensors", "._a.safetensors.index.json"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert list(find_tensors(tmp_path)) == ["a"]


def test_the_index_of_a_variant_has_the_variant_before_json(tmp_path):
    shards = {"a": "x.bf16-00001-of-00002.safetensors", "b": "x.bf16-00002-of-00002.safetensors"}
    for key, shard in shards.items():
        written(tmp_path, {key: entry([1], 4)}, bytes(4), shard)
    (tmp_path / "x.safetensors.index.bf16.json").write_text(json.dumps({"weight_map": shards}))
    assert {key: place.file.name for key, place in find_tensors(tmp_path).items()} == shards


def test_the_first_twenty_of_many_missing_shards_are_named(tmp_path):
    names = [f"{number:03d}.safetensors" for number in range(25)]
    index = {"weight_map": dict(zip(names, names))}
    (tmp_path / "a.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError) as refused:
        find_tensors(tmp_path)
    listed = ", ".join(names[:20])
    assert f"25 of 25 shards are missing: {listed} and 5 more; finish" in str(refused.value)


def test_an_index_may_name_a_thousand_shards(tmp_path):
    names = [f"{number:03d}.safetensors" for number in range(1000)]
    index = {"weight_map": dict(zip(names, names))}
    (tmp_path / "a.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="1000 of 1000 shards are missing"):
        find_tensors(tmp_path)


# -- opening


@pytest.mark.parametrize("name", ["a.safetensors", "a.sft"])
def test_a_file_with_either_ending_is_read_and_opened(name, tmp_path):
    file = written(tmp_path, {"a": entry([1], 4)}, bytes(4), name)
    assert list(read_header(file)) == ["a"]
    with open_file(file) as opened:
        assert torch.equal(opened.get_tensor("a"), torch.zeros(1))


def test_a_file_that_is_not_there_or_of_another_kind_is_not_opened(tmp_path):
    with pytest.raises(CheckpointError, match="a.safetensors is missing; is it downloaded"):
        open_file(tmp_path / "a.safetensors")
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="a.pt must be a .safetensors file; pickle files"):
        open_file(tmp_path / "a.pt")
