"""Headers of GGUF files at their limits, and where tensors lie in files of every alignment."""

import struct
from pathlib import Path

import pytest
from helpers.gguf_files import ARCHITECTURE, A, entry, info, raw, text

from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.gguf_container import plan_file, read_gguf


def header_of(tmp_path, content: bytes):
    (tmp_path / "raw.gguf").write_bytes(content)
    return read_gguf(tmp_path / "raw.gguf")


@pytest.mark.parametrize("alignment", [8, 16, 32, 64, 128, 256, 512, 1024])
def test_tensors_begin_at_multiples_of_the_alignment(tmp_path, alignment):
    stated = entry("general.alignment", 4, struct.pack("<I", alignment))
    second = 204 + -204 % alignment
    tensors = [A, info("b", [8], 0, second)]
    content = raw(tensors, [ARCHITECTURE, stated], data=second + 32, alignment=alignment)
    first, other = header_of(tmp_path, content).places.values()
    assert first.start % alignment == other.start % alignment == 0
    assert (first.stop - first.start, other.start - first.start) == (204, second)


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_are_read(tmp_path, version):
    assert list(header_of(tmp_path, raw(version=version)).places) == ["a", "b"]


def test_kinds_are_counted_with_the_most_frequent_first(tmp_path):
    tensors = [A, info("b", [8], 0, 224), info("c", [8], 0, 256)]
    assert list(header_of(tmp_path, raw(tensors, data=288)).kinds.items()) == [
        ("F32", 2), ("Q8_0", 1),
    ]  # fmt: skip


def test_a_header_may_end_where_the_file_ends(tmp_path):
    content = raw([], [entry("long", 8, text("x" * 16))], data=0, alignment=1)
    assert len(content) == 64  # nothing is padded behind it
    assert header_of(tmp_path, content).metadata == {"long": "x" * 16}


@pytest.mark.parametrize("axes", [1, 4])
def test_a_tensor_has_one_to_four_dimensions(tmp_path, axes):
    tensor = info("a", [8, 1, 1, 1][:axes], 0, 0)
    assert header_of(tmp_path, raw([tensor], data=32)).places["a"].shape == (1,) * (axes - 1) + (8,)


LIMITS = {
    "name": (1_000, lambda n: raw([info("x" * n, [8], 0, 0)], data=32), "a text of 1,001 bytes"),
    "text": (
        1_000_000, lambda n: raw([], [entry("k", 8, text("x" * n))], data=0), "of 1,000,001 bytes",
    ),
    "array": (
        1_000_000,
        lambda n: raw([], [entry("k", 9, struct.pack("<IQ", 0, n) + bytes(n))], data=0),
        "an array of 1,000,001 entries",
    ),
    "entries": (
        100_000,
        lambda n: raw([], [entry(f"{i:x}", 0, b"\0") for i in range(n)], data=0),
        "it claims 0 tensors and 100,001 entries",
    ),
    "header": (
        16_000_000,
        lambda n: raw(
            [],
            [
                *(entry(f"{i:02}", 8, text("x" * 999_978)) for i in range(15)),
                entry("last", 8, text("x" * (n - 24 - 15 * 1_000_000 - 24))),
            ],
            data=0,
        ),
        "its header is longer than 16,000,000 bytes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LIMITS)
def test_a_header_is_read_up_to_its_limits_and_no_further(what, tmp_path):
    most, content, line = LIMITS[what]
    header_of(tmp_path, content(most))
    with pytest.raises(CheckpointError, match=line):
        header_of(tmp_path, content(most + 1))


def test_a_reason_is_told_to_its_end_however_long_the_name(tmp_path):
    tensors = [info("x" * 900, [8], 0, 32)]
    with pytest.raises(
        CheckpointError, match=r"damaged \(xxx.*\.\.\. begins at byte 1,056, not at 1,024"
    ):
        header_of(tmp_path, raw(tensors, data=64))


def test_a_file_is_planned_to_its_last_byte():
    plan = plan_file(Path("a"), {"n": 1}, {"a": ((3, 64), "Q8_0"), "b": ((5,), "F32")})
    begin = len(plan.header)
    assert begin % 32 == 0 and plan.size == begin + 224 + 32
    places = {name: (p.start - begin, p.stop - begin) for name, p in plan.places.items()}
    assert places == {"a": (0, 204), "b": (224, 244)}
