"""GGUF files that lie or are of another model: refused in one line, the model as it was."""

import random
import struct

import numpy as np
import pytest
import torch
from helpers.gguf_files import (
    ARCHITECTURE,
    SMALL,
    A,
    as_published,
    config,
    empty,
    entry,
    info,
    raw,
    text,
    write_theirs,
)
from torch import nn

from qwenimage_ref import checkpoint
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.formats.gguf_container import read_gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.parity.reference import random_weights


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
    "change, expected",
    [
        (dict(architecture="flux"), "its architecture must be qwen_image, got flux"),
        (dict(drop=[NORM, "proj_out.bias"]), f"2 tensors are missing (proj_out.bias, {NORM})"),
        (
            dict(kind_of=lambda *a: "Q8_0" if a[0] == NORM else as_published(*a)),
            f"{NORM} is stored as Q8_0, but only weights of linear layers",
        ),
    ],
)
def test_a_file_of_another_model_is_refused_in_one_line(model, tmp_path, change, expected):
    write_theirs(tmp_path / "foreign.gguf", model, **{"kind_of": as_published} | change)
    assert expected in refused(tmp_path / "foreign.gguf")


def test_a_file_of_another_size_is_refused_in_one_line(stored):
    assert "is 64 wide, by config.json it is 128" in refused(stored, config(width=64))
    assert "32 tensors are missing" in refused(stored, config(layers=3))
    assert "32 are not known" in refused(stored, config(layers=1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scales_and_plain_numbers_that_are_none_are_named(model, stored, bad):
    where, content = read_gguf(stored).places, stored.read_bytes()
    for name, packed, line in (
        ("transformer_blocks.1.attn.to_q.weight", np.float16(bad), "has scales that are NaN"),
        ("transformer_blocks.1.attn.to_q.bias", np.float32(bad), "holds NaN or infinity"),
    ):
        at = where[name].start
        stored.write_bytes(content[:at] + packed.tobytes() + content[at + packed.nbytes :])
        assert f"{name} {line}" in refused(stored)


def test_numbers_too_large_for_float16_are_named(model, tmp_path):
    model.proj_out.bias.data[3] = 70_000
    save_gguf(model, tmp_path / "large.gguf")
    load_weights(empty(), tmp_path / "large.gguf", torch.bfloat16)
    message = refused(tmp_path / "large.gguf", dtype=torch.float16)
    assert "proj_out.bias is too large for torch.float16" in message


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "its header ends behind the file's 0 bytes"),
        (b"GGUF\3", "its header ends behind the file's 5 bytes"),
        (raw(begin=b"GGML"), "it must begin with GGUF"),
        (raw(version=1), "its version must be 2 or 3, got 1"),
        (raw(version=3 << 24), "2 or 3, got 50331648"),  # of the other byte order
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
        (raw([A, info("b", [8], 21, 224)]), "b is stored as IQ3_S; choose a file of F32, F16"),
        (raw([A, info("b", [8], 2**32 - 1, 224)]), "b is stored as type 4294967295"),
        (raw([info("a", [48, 3], 8, 0)]), "a: rows must be a multiple of 32 numbers long"),
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
        (raw(metadata=[entry("general.alignment", 4, struct.pack("<I", 48))]), "1024, got 48"),
        (raw(metadata=[entry("general.alignment", 8, text("x"))]), "1024, got 'x'"),
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
    with pytest.raises(CheckpointError, match="safetensors is .* .it must begin with GGUF"):
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
