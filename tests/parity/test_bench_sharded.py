"""The bench of training over processes: what it says of a block, and where that is recorded."""

import json
import sys
from dataclasses import replace

import pytest

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.parity.bench import sharded
from qwenimage_ref.train.sharded.plan import block_operations

NARROW = replace(MMDiTConfig.official(), num_attention_heads=2, joint_attention_dim=64)


def test_a_block_is_recorded_beside_what_is_there(tmp_path, monkeypatch, capsys):
    (tmp_path / "record.json").write_text(json.dumps({"pair": {"one": 1.0}}))
    monkeypatch.setattr(sharded, "FILE", tmp_path / "record.json")
    seconds = {2: {32: 2.5, 16: 0.75}, 1: {32: 1.5}}
    monkeypatch.setattr(sharded, "passes", lambda blocks, sides, device: seconds[blocks])
    monkeypatch.setattr(sys, "argv", ["sharded", "block", "--record"])
    sharded.main()
    stored = json.loads((tmp_path / "record.json").read_text())
    block, printed = stored["block"], json.loads(capsys.readouterr().out)
    assert stored["pair"] == {"one": 1.0}
    assert {name: block[name] for name in printed} == printed
    assert (block["seconds"], block["two blocks"]) == (1.0, {"32": 2.5, "16": 0.75})
    forward = block_operations(3072, 1024, sharded.TEXT_TOKENS)
    assert block["tflops"] == pytest.approx(4 * forward / 1e12, abs=1e-4)


def test_passes_are_timed_of_each_size(monkeypatch):
    monkeypatch.setattr(MMDiTConfig, "official", lambda: NARROW)
    seconds = sharded.passes(1, (8, 4), "cpu")
    assert [*seconds] == [8, 4] and min(seconds.values()) > 0
