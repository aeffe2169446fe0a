"""The benchmark of the tiled VAE: a missed bound is an exit status."""

import pytest

from qwenimage_ref.parity.bench import tiling


@pytest.mark.parametrize("peak, status", [(0.9e9, 0), (1.1e9, 1)])
def test_a_missed_bound_is_an_exit_status(monkeypatch, capsys, peak, status):
    memory = {"weights": 0.2e9, "peaks": [peak]}
    monkeypatch.setattr(tiling, "measure_call", lambda *_: memory)
    assert tiling.main([]) == status
    assert f"tiled decode 2048x2048: {(0.2e9 + peak) / 1e9:.2f} GB" in capsys.readouterr().out
