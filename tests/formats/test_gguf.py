"""GGUF: blocks bit for bit as the gguf package reads and writes them; files that lie are refused.

The oracle is the `gguf` package of llama.cpp. It cannot encode K-quants, so their blocks are drawn.
"""

import random
import struct

import gguf
import numpy as np
import pytest
import torch
from gguf.constants import GGMLQuantizationType
from torch import nn

from qwenimage_ref import checkpoint
from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import gguf_blocks
from qwenimage_ref.formats.gguf import GGUFLinear, plan_gguf, save_gguf
from qwenimage_ref.formats.gguf_blocks import LAYOUTS, PLAIN, decode, encode
from qwenimage_ref.formats.gguf_container import read_gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

ENCODED = ("Q8_0", "Q4_0", "BF16", "F16", "F32")
every_kind = pytest.mark.parametrize("kind", LAYOUTS)


def config(heads=2, width=32, layers=2, **more):
    axes = (width // 4, width // 4, width // 2)
    return MMDiTConfig(
        num_layers=layers,
        num_attention_heads=heads,
        attention_head_dim=width,
        joint_attention_dim=48,
        axes_dims_rope=axes,
        **more,
    )


SMALL = config()  # 64 wide: rows of two blocks of 32
WIDE = config(width=128, layers=1)  # 256 wide: rows of one block of 256


def empty(numbers=SMALL) -> MMDiT:
    with torch.device("meta"):
        return MMDiT(numbers)


@pytest.fixture
def model() -> MMDiT:
    return random_weights(empty(), seed=0)


@pytest.fixture
def file(model, tmp_path):
    save_gguf(model, tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


def calls(dtype=torch.float32):
    """Two calls, texts of other lengths, one of them padded."""
    generator = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(shape, generator=generator).to(dtype)

    img, sigma, grids = noise(2, 12, 64), torch.tensor([0.7, 0.3]), [(1, 3, 4)]
    mask = torch.arange(9) < torch.tensor([[4], [9]])
    return [(img, noise(2, 5, 48), sigma, grids, None), (img, noise(2, 9, 48), sigma, grids, mask)]


def drawn_rows(kind: str, rows: int, values: int, seed=0) -> torch.Tensor:
    """Random blocks with finite scales: (rows, bytes of a row)"""
    layout, generator = LAYOUTS[kind], torch.Generator().manual_seed(seed)
    size = rows, values // layout.values, layout.bytes
    blocks = torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
    for at in layout.halves:
        scale = 0.003 * torch.randn(*size[:2], 1, generator=generator)
        blocks[..., at : at + 2] = scale.half().view(torch.uint8)
    if kind in PLAIN:
        blocks = torch.randn(rows, values, generator=generator).to(PLAIN[kind]).view(torch.uint8)
    return blocks.reshape(rows, -1)


def theirs(rows: torch.Tensor, kind: str) -> torch.Tensor:
    numbers = gguf.quants.dequantize(rows.numpy(), GGMLQuantizationType[kind])
    return torch.from_numpy(np.ascontiguousarray(numbers))


def write_theirs(path, model, kind_of, architecture="qwen_image", prefix="", drop=(), metadata=()):
    """A file written by the gguf package; kind_of(name, weight) says how each tensor is stored.

    What the package cannot encode is drawn. -> {name: the numbers that its own decoder reads}
    """
    writer, held = gguf.GGUFWriter(path, architecture), {}
    writer.add_quantization_version(2)
    for key, value in metadata:
        writer.add_bool(key, value)
    for number, (name, weight) in enumerate(model.state_dict().items()):
        if name in drop:
            continue
        kind = kind_of(name, weight)
        if kind in ENCODED:
            rows = encode(weight, kind)
        else:
            rows = drawn_rows(kind, *weight.shape, seed=number)
        held[name] = theirs(rows, kind).view(weight.shape)
        writer.add_tensor(prefix + name, rows.numpy(), raw_dtype=GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return held


def as_published(name, weight, kind="Q8_0"):
    if weight.ndim == 1:
        return "F32"
    return kind if name.startswith("transformer_blocks.") else "BF16"


# --- blocks


@every_kind
def test_a_decoder_gives_every_bit_that_the_gguf_package_gives(kind, monkeypatch):
    rows = drawn_rows(kind, 7, 1280)
    expected = theirs(rows, kind)
    assert expected.shape == (7, 1280) and expected.std() > 1e-3
    assert torch.equal(decode(rows, kind), expected)
    assert torch.equal(decode(rows, kind, torch.bfloat16), expected.bfloat16())
    monkeypatch.setattr(gguf_blocks, "CHUNK", 600)  # in several parts, the last one smaller
    assert torch.equal(decode(rows, kind), expected)


@every_kind
def test_the_table_of_kinds_is_that_of_the_gguf_package(kind):
    number = GGMLQuantizationType[kind]
    layout = LAYOUTS[kind]
    assert (number, gguf.GGML_QUANT_SIZES[number]) == (
        layout.number,
        (layout.values, layout.bytes),
    )


def test_a_block_built_by_hand_decodes_to_the_numbers_that_it_was_built_from():
    q = [7, -128, 127, 0] * 8
    block = np.float16(0.25).tobytes() + struct.pack("32b", *q)
    block = torch.frombuffer(bytearray(block), dtype=torch.uint8)
    assert decode(block, "Q8_0").tolist() == [n / 4 for n in q]
    halves = np.float16(2).tobytes() + bytes(16 * high + low for low, high in [(3, 15)] * 16)
    halves = torch.frombuffer(bytearray(halves), dtype=torch.uint8)
    assert decode(halves, "Q4_0").tolist() == [2 * (3 - 8)] * 16 + [14] * 16


def awkward_weights() -> torch.Tensor:
    """Rows of blocks with ties, halves, zeros, numbers near zero, and large ones."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.02 * torch.randn(24, 320, generator=generator)
    weight[0, :64] = 0
    weight[1, :2] = torch.tensor([0.5, -0.5])
    weight[2, :2] = torch.tensor([-0.5, 0.5])
    weight[3] = torch.randint(-254, 255, (320,), generator=generator) / 2
    weight[4] *= 1e-7
    weight[5] *= 1e6
    weight[6] = -weight[6].abs()
    return weight


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "BF16"])
def test_an_encoder_writes_every_byte_that_the_gguf_package_writes(kind):
    for weight in (awkward_weights(), awkward_weights().bfloat16()):
        expected = gguf.quants.quantize(weight.float().numpy(), GGMLQuantizationType[kind])
        assert torch.equal(encode(weight, kind), torch.from_numpy(expected))


@pytest.mark.parametrize("kind, error", [("Q8_0", 0.00535), ("Q4_0", 0.0860)])
def test_the_error_of_gaussian_weights_is_the_known_one(kind, error):
    weight = 0.02 * torch.randn(512, 1024, generator=torch.Generator().manual_seed(0))
    lost = decode(encode(weight, kind), kind) - weight
    assert (lost.norm() / weight.norm()).item() == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_weights_that_no_file_can_hold_are_not_encoded(kind, bad):
    weight = torch.ones(3, 64)
    weight[1, 40] = bad
    if (kind, bad) in [("F32", 1e38), ("BF16", 1e38)]:
        assert torch.isfinite(decode(encode(weight, kind), kind)).all()
    else:
        with pytest.raises(ValueError, match="NaN, infinity, or a number too large"):
            encode(weight, kind)


def test_a_block_next_to_zero_becomes_zero_and_not_nan():
    weight = torch.full((1, 32), 1e-43)
    for kind in ("Q8_0", "Q4_0"):
        assert decode(encode(weight, kind), kind).abs().max() == 0


# --- files


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_the_gguf_package_reads_our_file_and_gets_the_same_numbers(model, tmp_path, kind):
    plan = save_gguf(model, tmp_path / "model.gguf", kind)
    assert (tmp_path / "model.gguf").stat().st_size == plan.size
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    told = {key: field.contents() for key, field in reader.fields.items()}
    assert told["general.architecture"] == "qwen_image"
    assert told["general.quantization_version"] == 2
    assert told["general.file_type"] == {"Q8_0": 7, "Q4_0": 2}[kind]
    assert reader.alignment == 32 and told["GGUF.version"] == 3
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


def test_a_file_that_is_silent_about_time_zero_leaves_it_to_the_config(file):
    edit = empty(config(zero_cond_t=True))
    load_weights(edit, file, torch.float32)
    assert edit.config.zero_cond_t


def test_the_marker_of_comfyui_says_that_condition_images_see_time_zero(model, tmp_path):
    model.register_buffer("__index_timestep_zero__", torch.zeros(1))
    write_theirs(tmp_path / "marked.gguf", model, as_published)
    loaded = empty()
    load_weights(loaded, tmp_path / "marked.gguf", torch.float32)
    assert loaded.config.zero_cond_t


# --- files that are refused


def refused(path, numbers=SMALL, dtype=torch.float32) -> str:
    """The one line with which a file is refused; the network is unchanged then."""
    network = random_weights(empty(numbers), seed=5)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, path, dtype)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 900
    return message


NORM = "transformer_blocks.0.attn.norm_q.weight"


@pytest.mark.parametrize(
    "told, expected",
    [
        (dict(architecture="flux"), "its architecture is flux, not qwen_image"),
        (dict(drop=[NORM, "proj_out.bias"]), f"2 tensors are missing (proj_out.bias, {NORM})"),
        (
            dict(kind_of=lambda *a: "Q8_0" if a[0] == NORM else as_published(*a)),
            f"{NORM} is stored as Q8_0, but only weights of linear layers",
        ),
    ],
)
def test_a_file_of_another_model_is_told_in_one_line(model, tmp_path, told, expected):
    write_theirs(tmp_path / "foreign.gguf", model, **{"kind_of": as_published} | told)
    assert expected in refused(tmp_path / "foreign.gguf")


def test_a_file_of_another_size_is_told_in_one_line(file):
    assert "is 64 wide, by config.json it is 128" in refused(file, config(width=64))
    assert "32 tensors are missing" in refused(file, config(layers=3))
    assert "32 are not known" in refused(file, config(layers=1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scales_and_plain_numbers_that_are_none_are_named(model, file, bad):
    where, content = read_gguf(file).places, file.read_bytes()
    for name, packed, line in (
        ("transformer_blocks.1.attn.to_q.weight", np.float16(bad), "has scales that are NaN"),
        ("transformer_blocks.1.attn.to_q.bias", np.float32(bad), "holds NaN or infinity"),
    ):
        at = where[name].start
        file.write_bytes(content[:at] + packed.tobytes() + content[at + packed.nbytes :])
        assert f"{name} {line}" in refused(file)


def test_numbers_too_large_for_float16_are_named(model, tmp_path):
    model.proj_out.bias.data[3] = 70_000
    save_gguf(model, tmp_path / "large.gguf")
    load_weights(empty(), tmp_path / "large.gguf", torch.bfloat16)
    message = refused(tmp_path / "large.gguf", dtype=torch.float16)
    assert "proj_out.bias is too large for torch.float16" in message


def text(words: str) -> bytes:
    return struct.pack("<Q", len(words)) + words.encode()


def entry(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def info(name: str, sizes, kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)


ARCHITECTURE = entry("general.architecture", 8, text("qwen_image"))
A, B = info("a", [64, 3], 8, 0), info("b", [8], 0, 224)  # 204 and 32 bytes


def raw(tensors=(A, B), metadata=(ARCHITECTURE,), begin=b"GGUF", version=3, data=256, counts=None):
    counts = counts or (len(tensors), len(metadata))
    header = begin + struct.pack("<IQQ", version, *counts) + b"".join([*metadata, *tensors])
    return header + bytes(-len(header) % 32 + data)


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "its header ends behind the file's 0 bytes"),
        (b"GGUF\3", "its header ends behind the file's 5 bytes"),
        (raw(begin=b"GGML"), "does not begin with GGUF"),
        (raw(version=1), "its version is 1"),
        (raw(version=3 << 24), "its version is 50331648"),  # of the other byte order
        (raw(data=257), "the tensors end at byte"),
        (raw(data=240), "b ends at byte"),
        (raw(data=300), "the tensors end at byte"),
        (raw()[:100], "its header ends behind the file's 100 bytes"),
        (raw(counts=(2**63, 1)), "claims 9,223,372,036,854,775,808 tensors"),
        (raw(counts=(2, 2**40)), "entries of metadata"),
        (raw([A, A]), "a is there twice"),
        (raw([A, info("b", [8], 0, 225)]), "b begins at byte"),
        (raw([A, info("b", [8], 0, 192)]), "b begins at byte"),
        (raw([A, info("b", [8], 0, 2**64 - 32)]), "b begins at byte"),
        (raw([A, info("b", [2**62, 2**62], 0, 224)]), "b ends at byte"),
        (raw([A, info("b", [8], 23, 224)]), "b is stored as IQ4_XS; choose a file of F32, F16"),
        (raw([A, info("b", [8], 2**32 - 1, 224)]), "b is stored as type 4294967295"),
        (raw([info("a", [48, 3], 8, 0)]), "a: rows of 48 numbers cannot be cut into Q8_0 blocks"),
        (raw([A, info("b", [], 0, 224)]), "b has 0 dimensions"),
        (raw([A, info("b", [2] * 5, 0, 224)]), "b has 5 dimensions"),
        (raw([A, info("\n" * 200, [8], 0, 3)]), "begins at byte"),
        (raw([struct.pack("<Q", 2000) + bytes(2000)]), "a text of 2,000 bytes"),
        (raw([struct.pack("<Q", 2) + b"\xff\xfe" + bytes(50)]), "can't decode"),
        (raw(metadata=[ARCHITECTURE, ARCHITECTURE]), "general.architecture is there twice"),
        (raw(metadata=[entry("k", 13, b"")]), "metadata of type 13 are not known"),
        (raw(metadata=[entry("k", 8, struct.pack("<Q", 2**50))]), "a text of 1,125,899"),
        (raw(metadata=[entry("k", 9, struct.pack("<IQ", 9, 1))]), "arrays of type 9"),
        (raw(metadata=[entry("k", 9, struct.pack("<IQ", 0, 2**60))]), "an array of 1,152,921"),
        (raw(metadata=[entry("k", 9, struct.pack("<IQ", 12, 999_999))]), "header ends behind"),
        (raw(metadata=[entry("general.alignment", 4, struct.pack("<I", 48))]), "alignment is 48"),
        (raw(metadata=[entry("general.alignment", 8, text("x"))]), "alignment is 'x'"),
    ],
)  # fmt: skip
def test_a_header_that_lies_is_refused_in_one_line(tmp_path, content, expected):
    path = tmp_path / "raw.gguf"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_gguf(path)
    message = str(caught.value)
    assert expected in message and message.isprintable() and len(message) < 500


def test_every_type_of_metadata_is_read(tmp_path):
    numbers = [(0, "B"), (1, "b"), (2, "H"), (3, "h"), (4, "I"), (5, "i"), (6, "f"), (10, "Q"),
               (11, "q"), (12, "d")]  # fmt: skip
    entries = [entry(code, kind, struct.pack(f"<{code}", 7)) for kind, code in numbers]
    entries += [entry("yes", 7, b"\1"), entry("general.alignment", 4, struct.pack("<I", 64))]
    entries += [entry("list", 9, struct.pack("<IQ3H", 2, 3, 5, 6, 7))]
    entries += [entry("texts", 9, struct.pack("<IQ", 8, 2) + text("one") + text(""))]
    (tmp_path / "raw.gguf").write_bytes(raw([], entries, data=64))
    with pytest.raises(CheckpointError, match="the tensors end"):
        read_gguf(tmp_path / "raw.gguf")
    content = raw([], entries, data=0)
    (tmp_path / "raw.gguf").write_bytes(content + bytes(-len(content) % 64))
    metadata = read_gguf(tmp_path / "raw.gguf").metadata
    assert metadata == {code: 7 for _, code in numbers} | {
        "yes": True,
        "general.alignment": 64,
        "list": [5, 6, 7],
        "texts": ["one", ""],
    }


def test_a_file_that_is_missing_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="model.gguf is missing"):
        read_gguf(tmp_path / "model.gguf")
    checkpoint.save(nn.Linear(3, 2), tmp_path)
    (safetensors,) = tmp_path.iterdir()
    with pytest.raises(CheckpointError, match="safetensors is .* .it does not begin with GGUF"):
        read_gguf(safetensors)


def scratched(content: bytes, header: int, chance: random.Random) -> bytes:
    """A file with bits, bytes or numbers of its header changed, or cut short, or longer."""
    changed, at = bytearray(content), chance.randrange(header - 7)
    kind = chance.choice(
        ["bit", "bit", "byte", "number", "number", "exchange", "hole", "cut", "on"]
    )
    if kind == "bit":
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == "byte":
        changed[at] = chance.randrange(256)
    elif kind == "number":
        values = [0, 1, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1, chance.randrange(header)]
        changed[at : at + 8] = struct.pack("<Q", chance.choice(values))
    elif kind == "exchange":
        other = chance.randrange(header)
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == "hole":
        del changed[at : at + chance.choice([1, 8, 32])]
    elif kind == "cut":
        del changed[chance.randrange(len(changed)) :]
    else:
        changed += bytes(chance.choice([1, 31, 32, 1000]))
    return bytes(changed)


def test_damaged_headers_are_refused_in_one_line_or_give_the_same_weights(tmp_path):
    tiny = config(layers=1)
    path, good, network = tmp_path / "model.gguf", empty(tiny), empty(tiny)
    plan = save_gguf(random_weights(empty(tiny), 0), path)
    load_weights(good, path, torch.float32)
    content, chance, refusals = path.read_bytes(), random.Random(0), 0
    for number in range(600):
        path.unlink()
        path.write_bytes(scratched(content, len(plan.header), chance))
        try:
            if read_gguf(path).kinds:  # it holds together; is it of this network?
                load_weights(network, path, torch.float32)
        except CheckpointError as error:
            assert str(error).isprintable() and len(str(error)) < 900, f"mutant {number}: {error}"
            refusals += 1
            continue
        for (name, ours), weight in zip(network.state_dict().items(), good.state_dict().values()):
            assert torch.equal(ours, weight), f"mutant {number}: {name}"
        network = empty(tiny)
    assert refusals > 480


# --- writing


def test_a_model_whose_rows_are_no_whole_blocks_cannot_be_written(tmp_path):
    narrow = random_weights(empty(config(width=24)), 0)
    with pytest.raises(CheckpointError, match="rows of 48 numbers cannot .*Q8_0 does not fit"):
        save_gguf(narrow, tmp_path / "narrow.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_written_whole_or_not_at_all(model, file):
    before = file.read_bytes()
    model.proj_out.weight.data[0, 0] = float("nan")  # the last but one tensor
    with pytest.raises(CheckpointError, match="proj_out.weight cannot be stored as BF16: it holds"):
        save_gguf(model, file)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_what_cannot_be_written_is_told_in_one_line(model, file):
    with pytest.raises(CheckpointError, match="Q4_K cannot be written, only Q8_0 and Q4_0"):
        save_gguf(model, file, "Q4_K")
    with pytest.raises(CheckpointError, match="must end in .gguf"):
        save_gguf(model, file.with_suffix(".safetensors"))
    with pytest.raises(CheckpointError, match="cannot write to .*make room"):
        save_gguf(model, file.parent / "missing" / "model.gguf")
    with pytest.raises(CheckpointError, match="has no weights yet"):
        save_gguf(empty(), file)
    resident, streamed = empty(), empty()
    load_weights(resident, file, torch.float32)
    load_weights(streamed, file, torch.float32, streamed=True)
    for network in (resident, streamed):
        with pytest.raises(CheckpointError, match="save it from its full weights"):
            save_gguf(network, file)
        with pytest.raises(CheckpointError, match="is quantised or streamed; load"):
            load_weights(network, file, torch.float32)


def test_large_weights_are_written_in_parts_as_in_one(model, file, tmp_path, monkeypatch):
    monkeypatch.setattr("qwenimage_ref.formats.gguf.CHUNK", 1000)
    save_gguf(model, tmp_path / "parts.gguf")
    assert (tmp_path / "parts.gguf").read_bytes() == file.read_bytes()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def test_a_packed_model_is_saved_in_the_official_layout_as_what_it_computes_with(
    file, tmp_path, dtype
):
    packed, plain = empty(), empty()
    load_weights(packed, file, dtype)
    checkpoint.save(packed, tmp_path / "official")
    checkpoint.load_into(plain, tmp_path / "official")
    assert {weight.dtype for weight in plain.parameters()} == {dtype}
    assert torch.equal(packed(*calls(dtype)[1]), plain(*calls(dtype)[1]))
    with pytest.raises(CheckpointError, match="is quantised or streamed; load the files"):
        checkpoint.load_into(packed, tmp_path / "official")


# --- LoRA


def lora_file(model, path):
    """An adapter of every linear of the blocks, with a B that is not zero."""
    twin = empty()
    twin.load_state_dict(model.state_dict(), assign=True)
    adapter = lora.inject(twin, lora.TARGETS["musubi"], rank=4, alpha=2)
    for number, pair in enumerate(adapter.pairs.values()):
        pair.lora_B.data.normal_(std=0.3, generator=torch.Generator().manual_seed(number))
    lora.save(twin, path)


@torch.no_grad()
def test_a_lora_is_loaded_over_packed_weights_resident_and_streamed(model, file, tmp_path):
    lora_file(model, tmp_path / "lora.safetensors")
    packed, streamed, plain = empty(), empty(), empty()
    load_weights(packed, file, torch.float32)
    load_weights(streamed, file, torch.float32, streamed=True)
    decoded = {
        name: decode(encode(weight, kind), kind)
        for name, weight in model.state_dict().items()
        for kind in [as_published(name, weight)]
    }
    plain.load_state_dict(decoded, assign=True)
    call, answers = calls()[1], []
    bare = packed(*call)
    for network in (packed, streamed, plain):
        assert lora.load(network, tmp_path / "lora.safetensors").matched == 28
        answers.append(network(*call))
    assert torch.equal(answers[0], answers[1]) and torch.equal(answers[0], answers[2])
    assert (answers[0] - bare).norm() > 0.05 * bare.norm()
    for network in (packed, streamed):
        with pytest.raises(lora.LoRAError, match="streamed or quantised"):
            lora.merge(network)


def test_gradients_reach_an_adapter_through_packed_weights_as_through_decoded_ones(file, tmp_path):
    packed, streamed, plain = empty(), empty(), empty()
    load_weights(packed, file, torch.float32)
    checkpoint.save(packed, tmp_path / "official")
    checkpoint.load_into(plain, tmp_path / "official")
    load_weights(streamed, file, torch.float32, streamed=True)
    gradients = []
    for network in (packed, streamed, plain):
        adapter = lora.inject(network, "transformer_blocks.*.to_q", rank=4)
        network.train()
        network(*calls()[0]).square().mean().backward()
        gradients.append([pair.lora_B.grad for pair in adapter.pairs.values()])
        assert all(p.grad is None for p in network.parameters())
    for ours, streams, expected in zip(*gradients, strict=True):
        assert expected.abs().max() > 0
        assert torch.equal(ours, streams) and (ours - expected).norm() < 1e-5 * expected.norm()


def test_a_lora_is_neither_lost_by_loading_nor_forgotten_by_saving(model, file):
    lora.inject(model, "transformer_blocks.*.to_q", rank=4)
    with pytest.raises(CheckpointError, match="has a LoRA, which packing would lose"):
        load_weights(model, file, torch.float32)
    with pytest.raises(CheckpointError, match="a LoRA hangs on the model; merge it"):
        save_gguf(model, file)
    lora.merge(model)
    assert save_gguf(model, file).kinds["Q8_0"] == 28
