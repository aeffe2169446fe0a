"""The benchmark of the tiled VAE: a missed bound is an exit status."""

import json

import pytest

from qwenimage_ref.parity.bench import tiling


def test_the_record_holds_a_large_decoded_picture_within_the_bound():
    record = json.loads(tiling.FILE.read_text("utf-8"))
    rows = {(row["how"], row["call"], row["side"]): row["bytes"] for row in record["rows"]}
    assert rows["tiled", "decode", tiling.SIDE] <= tiling.MOST == record["most"]
    # sixteen times the pixels in tiles take less than these as a whole
    assert rows["tiled", "decode", tiling.SIDE] < rows["ours", "decode", tiling.SMALL]


@pytest.mark.parametrize("peak, status", [(0.9e9, 0), (1.1e9, 1)])
def test_a_missed_bound_is_an_exit_status(monkeypatch, capsys, peak, status):
    memory = {"weights": 0.2e9, "peaks": [peak]}
    monkeypatch.setattr(tiling, "measure_call", lambda *_: memory)
    assert tiling.main([]) == status
    assert f"tiled decode 2048x2048: {(0.2e9 + peak) / 1e9:.2f} GB" in capsys.readouterr().out
