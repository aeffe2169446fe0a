"""`qwenimage bench`: a whole table beside the reference, and a missed target is said."""

import contextlib
import importlib.util
import io
import json
import math
import mmap
import re
from dataclasses import replace

import pytest
import torch

from qwenimage_ref import cli
from qwenimage_ref.cli import parity
from qwenimage_ref.parity.bench import fresh_process, parts
from qwenimage_ref.parity.bench import packed as packed_layers
from qwenimage_ref.parity.bench.parts import QUICK, Row, alternate, compare, pairs_of
from qwenimage_ref.parity.reference import reference_vae
from qwenimage_ref.vae import VAE

on_linux = pytest.mark.skipif(
    not fresh_process.can_measure_memory(), reason="memory is read from /proc"
)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Exit status, what was printed and the record of one quick run."""
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = cli.main(["bench", "--quick", "--record", str(file)])
    return status, printed.getvalue(), json.loads(file.read_text(encoding="utf-8"))


@on_linux
def test_the_table_has_every_part(quick):
    found = [row["what"] for row in quick[2]["rows"]]
    vae = [
        f"VAE, {direction} {side}x{side}, {dtype}"
        for side in QUICK.sides
        for direction in ("decode", "encode")
        for dtype in ("float32", "bfloat16")
    ]
    memory = [f"VAE, decode {side}x{side}, float32, peak" for side in QUICK.sides]
    block = [f"MMDiT, one block, 24 + 7 tokens, {dtype}" for dtype in ("float32", "bfloat16")]
    pictures = [
        "edit step, 24 + 24 + 7 tokens",
        "2511 step, 24 + 24 + 7 tokens",
        "edit step, rotations beside the whole",
        "vision tower, 2 blocks, 112x112, float32",
        "blockwise step beside plain and products",
        "InstantX's network, one block",
        "step with three regions beside one without",
        "mask of three regions beside a step",
    ]
    packed = [f"linear layer 64 to 256, {kind}, 31 tokens" for kind in ("fp8", "int8")]
    updates = ["DPO step, pocket, 2 pictures", "GRPO, pocket, 2 pictures, 2 steps"]
    objectives = [
        *(
            f"{name} step, one block, {dtype}"
            for dtype in ("float32", "bfloat16")
            for name in ("DPO", "GRPO")
        ),
        *updates,
        *(f"{update}, peak" for update in updates),
        *(f"{name} to one step, pocket, 2 pictures, peak" for name in ("distill", "DMD2")),
    ]
    before = [*vae, *memory, "VAE, float32, weights", *block, *pictures, *packed]
    posters = [
        "pocket picture, 2 guided steps, 128x128",
        "pocket picture, 4 unguided steps, 128x128",
        "poster drawn, beside the guided picture",
        "poster read, beside the guided picture",
    ]
    assert found[:-3] == [*before, *objectives, *posters]
    assert found[-3].startswith("tokenizer, ")
    assert found[-2:] == ["import of the pipeline", "import of the pipeline, memory after it"]


@pytest.mark.parametrize(("two", "missed"), [(3.2, 0), (3.1, 1)])
def test_a_second_process_must_bring_more_than_half_of_a_first(two, missed, monkeypatch):
    rates = {(1,): 2.0, (2, parts.AGAIN): 1.0, (2, parts.KEPT): two}
    monkeypatch.setattr(parts, "pictures_a_second", lambda *how: rates[how])
    again, kept = parts.process_rows(parts.FULL)
    assert again.gain == 0.5 and not again.missed  # what is gathered twice has no target here
    assert kept.gain == pytest.approx(two / 2) and len(kept.missed) == missed


@pytest.mark.parametrize("pack", [packed_layers.in_fp8, packed_layers.in_int8])
def test_a_packed_layer_is_packed_and_near_the_plain_one(pack):
    plain, x = torch.nn.Linear(64, 32).bfloat16(), parts.noise(1, 9, 64).bfloat16()
    packed = pack(plain)
    assert packed.weight.element_size() == 1
    assert (packed(x) - plain(x)).norm() <= 0.04 * plain(x).norm()


def test_every_figure_is_a_positive_number(quick):
    figures = [row[side] for row in quick[2]["rows"] for side in ("ours", "reference", "gain")]
    assert all(math.isfinite(figure) and figure > 0 for figure in figures)


def test_what_is_printed_is_what_is_recorded(quick):
    _, printed, recorded = quick
    lines = printed.splitlines()[1:-1]  # between the heading and the note
    assert len(lines) == len(recorded["rows"])
    for line, row in zip(lines, recorded["rows"]):
        assert line.startswith(row["what"])
        gain = float(re.search(r"(\d+\.\d\d)x", line)[1])
        # records have four digits, which is less than two decimals where a gain is above 100
        assert gain == pytest.approx(row["gain"], abs=0.01, rel=5e-4)
        assert ("MISSED" in line) == bool(row["missed"])


def test_the_status_says_whether_a_target_was_missed(quick):
    status, _, recorded = quick
    assert status == int(any(row["missed"] for row in recorded["rows"]))


def test_a_part_that_is_measured_again_leaves_the_other_rows_and_each_says_where(
    quick, tmp_path, capsys
):
    file = tmp_path / "bench.json"
    before = quick[2] | {"commit": "0123"}
    rows = [{k: v for k, v in row.items() if k != "commit"} for row in before["rows"]]
    file.write_text(json.dumps(before | {"rows": rows}))
    cli.main(["bench", "--quick", "--only", "tokenizer", "--record", str(file)])
    after = json.loads(file.read_text())
    assert [row["what"] for row in after["rows"]] == [row["what"] for row in rows]
    for row, old in zip(after["rows"], rows):
        again = row["what"].startswith("tokenizer")
        assert (row["commit"] == after["commit"]) if again else (row == old | {"commit": "0123"})
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert cli.main(["bench", "--quick", "--only", "vae", "tokens"]) == 2
    assert "--only must name some of vae, memory" in capsys.readouterr().err


def test_the_record_says_where_its_numbers_come_from(quick):
    assert {"machine", "versions", "commit", "command"} <= quick[2].keys()
    assert {"torch", "diffusers", "transformers"} <= quick[2]["versions"].keys()
    assert quick[2]["machine"]["threads"] == 1


# -- one row --------------------------------------------------------------------------------------


def test_a_missed_target_is_said():
    row = Row("decode", "s", ours=2.0, reference=6.0, target=3.2)
    assert row.missed == ["3.00x, wanted 3.20x"]
    assert "MISSED: 3.00x, wanted 3.20x" in str(row)
    assert str(replace(row, ours=1.8)).endswith("ok")


@pytest.mark.parametrize("error", [2e-5, math.nan, math.inf])
def test_a_result_too_far_off_is_said_however_fast_it_came(error):
    row = Row("decode", "s", ours=1.0, reference=6.0, target=3.2, error=error, allowed=1e-5)
    assert "off by" in row.missed[0] and "MISSED" in str(row)


def test_of_a_rate_more_is_better():
    assert Row("tokenizer", "tokens/s", ours=300.0, reference=100.0).gain == 3
    assert Row("decode", "s", ours=300.0, reference=100.0).gain == pytest.approx(1 / 3)


# -- measuring ------------------------------------------------------------------------------------


def test_runs_alternate_and_the_median_counts(monkeypatch):
    clock = iter([0, 5, 10, 12, 20, 21, 30, 39, 40, 43, 50, 50])
    monkeypatch.setattr(parts.time, "process_time", lambda: next(clock))
    called = []
    calls = [lambda: called.append("ours") or 1, lambda: called.append("theirs") or 2]
    assert alternate(calls, 3) == ([3, 2], [1, 2])  # of 5, 1, 3 and of 2, 9, 0
    assert called == ["ours", "theirs"] * 3


def test_a_network_that_computes_something_else_is_out_of_tolerance():
    pairs = pairs_of(VAE, QUICK.vae, reference_vae)
    for ours, _ in pairs.values():
        ours.decoder.conv_in.bias = torch.nn.Parameter(ours.decoder.conv_in.bias + 0.1)
    inputs = {"z": parts.noise(1, 16, 4, 4)}
    with torch.no_grad():
        rows = list(compare("decode", pairs, inputs, rounds=1, target=0, bound="vae"))
    assert [row.what for row in rows] == ["decode, float32", "decode, bfloat16"]
    assert all("off by" in row.missed[0] for row in rows)


@on_linux
def test_memory_that_a_call_frees_again_is_seen():
    needed = 64 << 20

    def touch():  # fresh pages: malloc could hand out memory that an earlier test had freed
        with mmap.mmap(-1, needed, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
            pages[::4096] = b"x" * (needed // 4096)

    assert 0.95 * needed <= fresh_process.peak_rise(touch) <= 1.1 * needed
    assert fresh_process.peak_rise(lambda: None) <= 1 << 20


def test_a_measurement_that_fails_is_one_line():
    with pytest.raises(RuntimeError, match=r"import nobody in a fresh process failed: KeyError"):
        fresh_process.measure_import("nobody")


# -- what cannot be measured ----------------------------------------------------------------------


def refused(capsys, *options) -> str:
    """The one line of a run that is refused before anything is measured."""
    assert cli.main(["bench", *map(str, options)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("qwenimage: ") and error.count("\n") == 1
    return error


def test_without_the_reference_s_libraries_one_line_says_how_to_get_them(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "diffusers, transformers, peft must be installed" in refused(capsys)


def test_a_record_that_cannot_be_written_is_refused_before_measuring(capsys, tmp_path):
    assert "must be in a folder that exists" in refused(
        capsys, "--record", tmp_path / "no" / "b.json"
    )


def test_outside_the_repository_one_line_says_where_to_run(capsys, monkeypatch):
    monkeypatch.setattr(parity, "CHECKOUT", False)
    assert "run it in a clone" in refused(capsys)


def test_the_data_pipeline_is_compared_with_its_slowest_stage_and_with_fewer_pictures(monkeypatch):
    answers = {
        ("rates", "1"): {"filter": 40.0, "encode": 10.0, "both": 8.0},
        ("rates", "2"): {"filter": 70.0, "encode": 19.0, "both": 12.0},
        ("memory", "20"): {"MB": 300.0},
        ("memory", "200"): {"MB": 330.0},
    }
    monkeypatch.setattr(parts, "fresh_process", lambda module, *words: answers[words])
    rate, memory = parts.data_rows(replace(QUICK, posters=(20, 200)))
    assert (rate.ours, rate.reference, rate.missed) == (12, 10, [])
    assert (memory.ours, memory.reference, memory.missed) == (330, 300, [])


def test_a_quick_table_has_no_row_of_the_data_pipeline():
    assert list(parts.data_rows(QUICK)) == []
