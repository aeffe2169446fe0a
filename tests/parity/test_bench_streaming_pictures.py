"""The benchmark of streamed models that are given pictures: every task paints, and is bounded."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.checkpoint.forge import MODELS
from qwenimage_ref.parity.bench import streaming, streaming_pictures
from qwenimage_ref.parity.bench.streaming_pictures import (
    BLOCKS,
    MOST_GB,
    NETWORK,
    RANKS,
    TASKS,
    forge_folder,
    lora_sizes,
    main,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what was read")

ORIGIN = ("machine", "versions", "commit", "command")
COMPUTED = ("above_gb", "most_gb", "ok")
MARKS = ("zero_cond_t", "use_additional_t_cond", "use_layer3d_rope")


def tiny(count, model="qwen-image"):
    """What `first_blocks` returns, but narrow"""
    official = MODELS[model]
    marks = {mark: getattr(official.transformer, mark) for mark in MARKS}
    return replace(
        TINY,
        transformer=replace(TINY.transformer, num_layers=count, **marks),
        vae=replace(TINY.vae, input_channels=official.vae.input_channels),
        scheduler=official.scheduler,
        pipeline=official.pipeline,
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(streaming_pictures, "first_blocks", tiny)
    monkeypatch.setattr(streaming_pictures, "SIDE", 64)


@torch.no_grad()
@pytest.mark.parametrize("task", TASKS)
def test_a_task_paints_with_its_picture(small, tmp_path, task):
    forge_folder(tmp_path / "model", task)
    (paint,) = TASKS[task](tmp_path / "model")
    count, mode = (4, "RGBA") if task == "layers" else (1, "RGB")
    assert [(each.size, each.mode) for each in paint()] == [((64, 64), mode)] * count


def test_the_network_of_instantx_has_all_of_its_blocks(small, tmp_path):
    forge_folder(tmp_path / "model", "instantx")
    config = json.loads((tmp_path / "model" / NETWORK / "config.json").read_text())
    assert config["num_layers"] == BLOCKS["instantx"] == 5


def test_the_size_of_loras_is_scaled_to_the_official_depth(small, tmp_path):
    assert lora_sizes(tmp_path) == {}  # other tasks have none
    forge_folder(tmp_path / "model", "regions")
    files = [*tmp_path.rglob("loras/*.safetensors")]
    total = sum(file.stat().st_size for file in files) / 1e9
    sizes = lora_sizes(tmp_path / "model")
    assert {file.stem for file in files} == RANKS.keys()
    assert sizes["lora_gb"] == round(total, 3)
    assert sizes["lora_gb_of_all_blocks"] == round(30 * total, 3) > 0  # two blocks of sixty


def printed(monkeypatch, result, interpreter):
    """Lets the fresh process print `result`, and an interpreter take so many GB"""
    ended = subprocess.CompletedProcess([], 0, stdout="painting\n" + json.dumps(result))
    monkeypatch.setattr(streaming_pictures.subprocess, "run", lambda *_, **__: ended)
    monkeypatch.setattr(streaming, "interpreter_gb", lambda: interpreter)


@pytest.mark.parametrize("interpreter, status", [(0.6, 0), (0.3, 1)])
def test_a_peak_above_its_limit_is_an_exit_status(
    tmp_path, monkeypatch, capsys, interpreter, status
):
    monkeypatch.setattr(streaming, "FILE", tmp_path / "streaming.json")
    printed(monkeypatch, {"peak_gb": 2.0}, interpreter)
    assert main([str(tmp_path), "edit"]) == status
    row = json.loads(streaming.FILE.read_text("utf-8"))["streamed edit"]
    assert row["ok"] is (status == 0) and row["most_gb"] == MOST_GB["edit"] == 1.5
    assert row.items() >= json.loads(capsys.readouterr().out).items()


def test_a_process_that_stops_is_one_line_and_no_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(streaming, "FILE", tmp_path / "streaming.json")

    def stop(command, **_):
        raise subprocess.CalledProcessError(-9, command)

    monkeypatch.setattr(streaming_pictures.subprocess, "run", stop)
    assert main([str(tmp_path), "layers"]) == 2 and not streaming.FILE.exists()
    assert capsys.readouterr().err == (
        "streaming_pictures: layers stopped with status -9; its error is above\n"
    )


def test_a_folder_that_cannot_be_forged_is_one_line(capsys):
    folder = streaming_pictures.lora.__file__.replace("lora.py", "model")  # in the repository
    assert main([folder, "edit"]) == 2
    assert "lies in the repository; choose a folder outside it" in capsys.readouterr().err


def test_the_record_holds_every_task_below_its_limit():
    record = json.loads(streaming.FILE.read_text("utf-8"))
    rows = {name: row for name, row in record.items() if name.startswith("streamed ")}
    assert rows.keys() == {f"streamed {task}" for task in TASKS}
    for task in TASKS:
        row = rows[f"streamed {task}"]
        assert 0 < row["above_gb"] < row["most_gb"] == MOST_GB[task] <= 1.6
        assert row["command"].endswith(f" {task}") and "streaming_pictures" in row["command"]


def test_the_record_is_what_the_command_would_write(tmp_path, monkeypatch):
    text = streaming.FILE.read_text("utf-8")
    record = json.loads(text)
    others = {name: row for name, row in record.items() if not name.startswith("streamed ")}
    monkeypatch.setattr(streaming, "FILE", tmp_path / "streaming.json")
    streaming.FILE.write_text(json.dumps(others), "utf-8")
    for task in TASKS:
        row = record[f"streamed {task}"]
        result = {name: row[name] for name in row if name not in (*ORIGIN, *COMPUTED)}
        assert {*result} >= {"seconds", "read_gb", "peak_gb", "own_gb", "mapped_gb"}
        printed(monkeypatch, result, row["peak_gb"] - row["above_gb"])
        origin = {name: row[name] for name in ORIGIN}
        monkeypatch.setattr(streaming, "provenance", lambda *_, origin=origin: origin)
        assert main([str(tmp_path), task]) == 0
    assert streaming.FILE.read_text("utf-8") == text
    assert not re.search(r'[" ]/\w', text)  # no path of a machine


def test_the_process_that_measures_imports_no_other_library_of_models():
    code = "import sys; from qwenimage_ref.parity.bench import streaming_pictures; "
    code += "print(*{'diffusers', 'transformers', 'peft', 'accelerate'} & {*sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == []
