"""The reader of the second edition, measured: a small sample here, 2,000 of each kind stored."""

import json

import pytest

from qwenimage_ref.evaluate import reader
from qwenimage_ref.posters.scene import SIZES


@pytest.mark.parametrize("name", reader.DAMAGES)
def test_the_reader_is_right_on_true_and_on_damaged_posters(name):
    wrong = []
    for i, size in enumerate(SIZES):
        seeds = range(100 * i, 100 * i + 12)
        wrong += reader.misread(size, reader.DAMAGES[name], seeds)[0]
    assert len(wrong) <= (0 if name == "none" else 1), wrong


def test_the_measurement_names_every_size_and_damage(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reader, "SIZES", SIZES[:2])
    assert reader.main(["--posters", "2", "--to", str(tmp_path / "reader.json")]) == 0
    rows = json.loads((tmp_path / "reader.json").read_text())["rows"]
    assert set(rows) == {f"{w}x{h} {name}" for w, h in SIZES[:2] for name in reader.DAMAGES}
    assert "176x96 blur" in capsys.readouterr().out


def test_the_stored_measurement_has_at_most_ten_in_two_thousand_wrong():
    rows = json.loads(reader.RECORD.read_text())["rows"]
    assert len(rows) == len(SIZES) * len(reader.DAMAGES)
    for kind, row in rows.items():
        assert row["of"] == 2000, kind
        assert row["right"] >= 1990, kind
        assert row["drawing_ms"] <= 2, kind
