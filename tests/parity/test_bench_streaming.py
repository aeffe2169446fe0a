"""What the benchmark of streaming compares is the same work, from the disk, honestly summed up."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.parity.bench import streaming
from qwenimage_ref.parity.bench.lora import write_base
from qwenimage_ref.parity.bench.streaming_tasks import TASKS, forget, measure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what was read")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "model"
    forge(folder, TINY)
    return folder


@torch.no_grad()
def test_a_guided_step_has_the_same_bits_streamed_and_offloaded_by_the_peers(folder, tmp_path):
    results = [
        measure(TASKS[task](folder, tmp_path), [folder, tmp_path])
        for task in ("step", *streaming.PEERS)
    ]
    assert len({result["sha256"] for result in results}) == 1
    assert len(list(tmp_path.glob("*.safetensors"))) == 8 + 1  # diffusers' copy of the blocks


@torch.no_grad()
@pytest.mark.parametrize("task", ["read", "compute", "pass"])
def test_the_parts_of_a_pass_are_timed_alone(folder, tmp_path, task):
    result = measure(TASKS[task](folder, tmp_path), [folder])
    assert result["seconds"] > 0
    assert 0.05 < result["own_gb"] < result["peak_gb"]


def test_a_whole_picture_is_painted_on_the_lightning_schedule(folder, tmp_path, capsys):
    with torch.no_grad():
        measure(TASKS["picture"](folder, tmp_path), [folder])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" at ")[0] for line in lines] == [f"  step {n}" for n in (1, 2, 3, 4)]


def test_forgetting_leaves_the_files_as_they_are(folder):
    file = next(folder.rglob("*.safetensors"))
    before = file.read_bytes()
    forget([folder])
    assert file.read_bytes() == before


def result(seconds, peak, sha256="a"):
    return {"seconds": seconds, "peak_gb": peak, "read_gb": 1.0, "sha256": sha256}


def found(**changed):
    times = {
        "read": 9,
        "compute": 4,
        "pass": 9.9,
        "step": 12,
        "accelerate": 40,
        "group offload": 30,
    }
    return {
        task: [result(changed.get(task, s), 1.0) for _ in range(3)] for task, s in times.items()
    }


def test_the_summary_takes_medians_the_slower_bound_and_the_faster_peer(folder):
    times = found()
    times["pass"][0] = result(99, 1.5)
    summed = streaming.summary(times, folder, interpreter=0.25)
    assert summed["pass over max(read, compute)"] == 1.1
    assert summed["step over the faster peer"] == 0.4
    assert summed["tasks"]["pass"]["above_gb"] == 1.25  # of the highest peak
    assert summed["blocks"] == 8 and summed["same bits as the peers"]


def test_another_answer_of_a_peer_is_told(folder):
    times = found()
    times["accelerate"][2] = result(40, 1.0, "b")
    assert not streaming.summary(times, folder, interpreter=0.25)["same bits as the peers"]


def test_results_are_kept_beside_those_of_an_earlier_run(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "FILE", tmp_path / "streaming.json")
    streaming.keep(cold={"blocks": 12})
    streaming.keep(whole={"blocks": 60})
    kept = json.loads((tmp_path / "streaming.json").read_text())
    assert (kept["cold"]["blocks"], kept["whole"]["blocks"]) == (12, 60)
    assert kept["whole"]["versions"]["accelerate"]


@pytest.fixture
def narrow(tmp_path):
    """A transformer whose width, 64, packs into blocks of 32 numbers"""
    config = replace(
        TINY.transformer, num_layers=2, attention_head_dim=32, axes_dims_rope=(8, 12, 12),
        joint_attention_dim=64,
    )  # fmt: skip
    write_base(tmp_path / "narrow", config)
    return tmp_path / "narrow"


def test_every_format_is_streamed_and_fewer_bytes_are_farther_off(narrow, monkeypatch):
    def run_task(task, folder, copy):
        return measure(TASKS[task](folder, copy), [folder, copy])

    monkeypatch.setattr(streaming, "run_task", torch.no_grad()(run_task))
    result = streaming.formats(narrow, rounds=1)
    rows = result["formats"]
    assert list(rows) == ["bf16", "fp8", "Q8_0", "Q4_0"] and result["blocks"] == 2
    errors = {name: row["error"] for name, row in rows.items()}
    assert errors["bf16"] == 0 < errors["Q8_0"] < errors["fp8"] < errors["Q4_0"] < 0.5
    sizes = {name: row["weights_mb"] for name, row in rows.items()}
    assert 0 < sizes["Q4_0"] < sizes["fp8"] < sizes["bf16"]
    assert not narrow.with_name("narrow.packed").exists()
