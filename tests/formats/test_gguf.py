"""GGUF files: those of the gguf package are read, and ours are read by it."""

import random

import gguf
import pytest
import torch
from gguf.constants import GGMLQuantizationType
from helpers.gguf_files import SMALL, WIDE, as_published, calls, config, empty, write_theirs
from torch import nn

from qwenimage_ref import checkpoint
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.gguf import GGUFLinear, plan_gguf, save_gguf
from qwenimage_ref.formats.gguf_blocks import LAYOUTS, PLAIN, decode, encode
from qwenimage_ref.formats.gguf_container import read_gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.parity.reference import random_weights


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_the_gguf_package_reads_our_file_and_gets_the_same_numbers(model, tmp_path, kind):
    plan = save_gguf(model, tmp_path / "model.gguf", kind)
    assert (tmp_path / "model.gguf").stat().st_size == plan.size
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    metadata = {key: field.contents() for key, field in reader.fields.items()}
    assert metadata["general.architecture"] == "qwen_image"
    assert metadata["general.quantization_version"] == 2
    assert metadata["general.file_type"] == {"Q8_0": 7, "Q4_0": 2}[kind]
    assert reader.alignment == 32 and metadata["GGUF.version"] == 3
    state = model.state_dict()
    assert {tensor.name for tensor in reader.tensors} == state.keys()
    for tensor in reader.tensors:
        weight = state[tensor.name]
        stored = as_published(tensor.name, weight, kind)
        assert tensor.tensor_type == GGMLQuantizationType[stored]
        assert tensor.shape.tolist() == list(weight.shape)[::-1]
        numbers = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
        assert torch.equal(numbers.view(weight.shape), decode(encode(weight, stored), stored))
        assert (numbers.view(weight.shape) - weight).norm() < 0.12 * weight.norm()


def test_every_tensor_lies_where_the_plan_puts_it(model, tmp_path):
    plan = save_gguf(model, tmp_path / "model.gguf")
    assert read_gguf(tmp_path / "model.gguf").places == plan.places


def test_the_published_file_is_planned_to_the_tensor_and_to_the_gibibyte():
    plan = plan_gguf(empty(MMDiTConfig()), "Q8_0")
    assert plan.kinds == {"F32": 1087, "Q8_0": 840, "BF16": 6} and len(plan.places) == 1933
    assert f"{plan.size / 2**30:.2f}" == "20.27"
    assert {name for name, place in plan.places.items() if place.dtype == "BF16"} == {
        *(f"time_text_embed.timestep_embedder.linear_{i}.weight" for i in (1, 2)),
        *(f"{name}.weight" for name in ("img_in", "txt_in", "norm_out.linear", "proj_out")),
    }


@torch.no_grad()
@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind not in PLAIN])
def test_a_foreign_file_computes_what_a_model_with_its_decoded_weights_computes(tmp_path, kind):
    model = random_weights(empty(WIDE), seed=0)
    path = tmp_path / "foreign.gguf"
    numbers = write_theirs(path, model, lambda *args: as_published(*args, kind=kind))
    model.load_state_dict(numbers)
    loaded = empty(WIDE)
    report = load_weights(loaded, path, torch.float32)
    assert report.kinds == {"F32": 25, kind: 14, "BF16": 6} and len(report.packed) == 14
    assert f"14 {kind}, 6 BF16" in str(report) and "14 linear layers stay packed" in str(report)
    linears = [x for x in named_linears(loaded).values() if isinstance(x, GGUFLinear)]
    assert len(linears) == 14 and all(x.weight.dtype == torch.uint8 for x in linears)
    call = calls()[1]
    assert torch.equal(loaded(*call), model(*call))


def test_a_file_may_call_the_architecture_pig(model, tmp_path):
    write_theirs(tmp_path / "foreign.gguf", model, as_published, architecture="pig")
    loaded = empty()
    load_weights(loaded, tmp_path / "foreign.gguf", torch.float32)
    assert torch.equal(loaded.img_in.bias, model.img_in.bias)


def test_square_weights_are_not_transposed(tmp_path):
    model = random_weights(empty(), seed=0)
    write_theirs(tmp_path / "foreign.gguf", model, as_published)
    loaded = empty()
    load_weights(loaded, tmp_path / "foreign.gguf", torch.float32)
    ours = loaded.transformer_blocks[1].attn.to_q.unpacked(torch.float32)
    weight = model.transformer_blocks[1].attn.to_q.weight
    assert ours.shape == (64, 64)
    assert (ours - weight).norm() < 0.01 * weight.norm() < (ours - weight.T).norm()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def test_streamed_blocks_are_the_resident_ones_bit_for_bit(tmp_path, dtype):
    model, path = random_weights(empty(), seed=0), tmp_path / "mixed.gguf"
    kinds = ["Q8_0", "Q4_0", "BF16", "F16", "F32", "Q4_1", "Q5_1"]

    def mixed(name, weight):
        stored = as_published(name, weight)
        return random.Random(name).choice(kinds) if stored == "Q8_0" else stored

    write_theirs(path, model, mixed)
    resident, streamed = empty(), empty()
    reports = (
        load_weights(resident, path, dtype),
        load_weights(streamed, path, dtype, streamed=True),
    )
    assert reports[0] == reports[1] and len(reports[0].kinds) == 7
    assert not isinstance(streamed.transformer_blocks, nn.ModuleList)
    expected = [resident(*call) for call in calls(dtype)]
    for ours, other in zip(streamed.many(calls(dtype)), expected):
        assert ours.dtype == dtype and ours.float().std() > 0.01 and torch.equal(ours, other)


def test_layers_outside_the_blocks_are_decoded_when_a_file_has_them_quantised(tmp_path):
    model, path = random_weights(empty(), seed=0), tmp_path / "all.gguf"
    numbers = write_theirs(
        path, model, lambda name, w: "Q8_0" if w.ndim == 2 and w.shape[1] % 32 == 0 else "F32"
    )
    loaded = empty()
    assert len(load_weights(loaded, path, torch.float32).packed) == 28
    assert type(loaded.proj_out) is nn.Linear
    assert torch.equal(loaded.proj_out.weight, numbers["proj_out.weight"])


def test_a_prefix_that_all_names_have_is_no_part_of_them(model, tmp_path):
    path = tmp_path / "prefixed.gguf"
    write_theirs(path, model, as_published, prefix="model.diffusion_model.")
    assert len(load_weights(empty(), path, torch.float32).packed) == 28


def test_a_file_says_whether_condition_images_see_time_zero(tmp_path):
    edit, path = config(zero_cond_t=True), tmp_path / "edit.gguf"
    save_gguf(random_weights(empty(edit), 0), path)
    assert read_gguf(path).metadata["qwen_image.zero_cond_t"] is True
    for numbers in (edit, SMALL):
        loaded = empty(numbers)
        load_weights(loaded, path, torch.float32)
        assert loaded.config.zero_cond_t


def test_a_file_that_is_silent_about_time_zero_leaves_it_to_the_config(stored):
    edit = empty(config(zero_cond_t=True))
    load_weights(edit, stored, torch.float32)
    assert edit.config.zero_cond_t


def test_the_marker_of_comfyui_says_that_condition_images_see_time_zero(model, tmp_path):
    model.register_buffer("__index_timestep_zero__", torch.zeros(1))
    write_theirs(tmp_path / "marked.gguf", model, as_published)
    loaded = empty()
    load_weights(loaded, tmp_path / "marked.gguf", torch.float32)
    assert loaded.config.zero_cond_t


def test_a_model_whose_rows_are_no_whole_blocks_cannot_be_written(tmp_path):
    narrow = random_weights(empty(config(width=24)), 0)
    with pytest.raises(CheckpointError, match="multiple of 32 numbers .*got 48; Q8_0 does not fit"):
        save_gguf(narrow, tmp_path / "narrow.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(model, stored):
    before = stored.read_bytes()
    model.proj_out.weight.data[0, 0] = float("nan")  # the last but one tensor
    with pytest.raises(CheckpointError, match="proj_out.weight cannot be stored as BF16: numbers"):
        save_gguf(model, stored)
    assert stored.read_bytes() == before and list(stored.parent.iterdir()) == [stored]


def test_what_cannot_be_written_is_refused_in_one_line(model, stored):
    with pytest.raises(CheckpointError, match="kind must be one of Q8_0, Q4_0, got Q4_K"):
        save_gguf(model, stored, "Q4_K")
    with pytest.raises(CheckpointError, match="must end in .gguf"):
        save_gguf(model, stored.with_suffix(".safetensors"))
    with pytest.raises(CheckpointError, match="cannot write to .*make room"):
        save_gguf(model, stored.parent / "missing" / "model.gguf")
    with pytest.raises(CheckpointError, match="has no weights yet"):
        save_gguf(empty(), stored)
    resident, streamed = empty(), empty()
    load_weights(resident, stored, torch.float32)
    load_weights(streamed, stored, torch.float32, streamed=True)
    for network in (resident, streamed):
        with pytest.raises(CheckpointError, match="save it from its full weights"):
            save_gguf(network, stored)
        with pytest.raises(CheckpointError, match="is quantised or streamed; load"):
            load_weights(network, stored, torch.float32)


def test_large_weights_are_written_in_parts_as_in_one(model, stored, tmp_path, monkeypatch):
    monkeypatch.setattr("qwenimage_ref.formats.gguf.CHUNK", 1000)
    save_gguf(model, tmp_path / "parts.gguf")
    assert (tmp_path / "parts.gguf").read_bytes() == stored.read_bytes()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def test_a_packed_model_is_saved_in_the_official_layout_as_what_it_computes_with(
    stored, tmp_path, dtype
):
    packed, plain = empty(), empty()
    load_weights(packed, stored, dtype)
    checkpoint.save(packed, tmp_path / "official")
    checkpoint.load_into(plain, tmp_path / "official")
    assert {weight.dtype for weight in plain.parameters()} == {dtype}
    assert torch.equal(packed(*calls(dtype)[1]), plain(*calls(dtype)[1]))
    with pytest.raises(CheckpointError, match="is quantised or streamed; load the files"):
        checkpoint.load_into(packed, tmp_path / "official")
