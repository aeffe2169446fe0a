"""Headers of GGUF files that other programs write and read: types, alignment, what is optional."""

import gguf
import pytest
import torch
from gguf.constants import GGMLQuantizationType, GGUFValueType
from helpers.small_net import assert_equal, on_meta, tensors_of

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import gguf as gguf_module
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.formats.gguf_blocks import encode
from qwenimage_ref.formats.gguf_container import KINDS, NOT_READ
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

CONFIG = MMDiTConfig(
    num_layers=1,
    num_attention_heads=2,
    attention_head_dim=32,
    joint_attention_dim=48,
    axes_dims_rope=(8, 8, 16),
    zero_cond_t=True,
)


@pytest.fixture(scope="module")
def model() -> MMDiT:
    return random_weights(on_meta(MMDiT, CONFIG), 0)


def write(path, model, version=2, alignment=None):
    """The weights in float32, as the gguf package writes them."""
    writer = gguf.GGUFWriter(path, "qwen_image")
    if version is not None:
        writer.add_quantization_version(version)
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    for name, weight in model.state_dict().items():
        writer.add_tensor(name, encode(weight, "F32").numpy(), raw_dtype=GGMLQuantizationType.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def loaded(path, dtype=torch.float32, **options) -> MMDiT:
    network = on_meta(MMDiT, CONFIG)
    load_weights(network, path, dtype, **options)
    return network


def test_every_entry_of_our_header_has_the_type_that_llama_cpp_expects(model, tmp_path):
    save_gguf(model, tmp_path / "model.gguf")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    types = {name: field.types for name, field in fields.items() if not name.startswith("GGUF.")}
    assert types == {
        "general.architecture": [GGUFValueType.STRING],
        "general.quantization_version": [GGUFValueType.UINT32],
        "general.file_type": [GGUFValueType.UINT32],
        "qwen_image.zero_cond_t": [GGUFValueType.BOOL],
    }


@pytest.mark.parametrize("alignment", [8, 64, 256, 1024])
def test_tensors_are_found_at_every_alignment(model, tmp_path, alignment):
    write(tmp_path / "model.gguf", model, alignment=alignment)
    assert_equal(tensors_of(loaded(tmp_path / "model.gguf")), tensors_of(model))


def test_a_file_that_does_not_name_the_version_of_its_blocks_is_read(model, tmp_path):
    write(tmp_path / "model.gguf", model, version=None)
    assert_equal(tensors_of(loaded(tmp_path / "model.gguf")), tensors_of(model))


def test_blocks_of_another_version_are_refused_by_its_number(model, tmp_path):
    write(tmp_path / "model.gguf", model, version=1)
    with pytest.raises(CheckpointError, match="must be of version 2, got 1"):
        loaded(tmp_path / "model.gguf")


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_weights_are_put_on_the_device_that_is_asked_for(model, tmp_path, kind):
    save_gguf(model, tmp_path / "model.gguf", kind)
    network = loaded(tmp_path / "model.gguf", device="meta")
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}


def test_large_weights_are_encoded_in_parts_of_at_most_the_chunk(model, tmp_path, monkeypatch):
    sizes = []

    def encode_part(part, kind):
        sizes.append(part.numel())
        return encode(part, kind)

    monkeypatch.setattr(gguf_module, "CHUNK", 1000)
    monkeypatch.setattr(gguf_module, "encode", encode_part)
    save_gguf(model, tmp_path / "model.gguf")
    assert 500 < max(sizes) <= 1000
    mark = 1  # number in the tensor that marks Edit-2511
    assert sum(sizes) == sum(weight.numel() for weight in model.state_dict().values()) + mark


def test_every_kind_that_is_not_read_is_called_what_the_gguf_package_calls_it():
    others = (kind for kind in GGMLQuantizationType if kind.value not in KINDS)
    assert NOT_READ == {kind.value: kind.name for kind in others}
