"""`qwenimage train memory`: a row for each mode, or one line."""

import pytest

from qwenimage_ref import cli
from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.repository import POCKET


def table(capsys, *arguments) -> dict[str, list[str]]:
    """{mode: the cells of its row}"""
    assert cli.main(["train", "memory", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    return {line[:14].strip(): line[14:].split() for line in lines}


def test_every_mode_has_a_row_whose_parts_add_up(capsys):
    rows = table(capsys)
    assert rows.keys() == MODES.keys() | {"dmd2 --real"}
    for cells in rows.values():
        *parts, together, kept_all = map(float, cells[:8])
        assert together == pytest.approx(sum(parts), abs=0.04)
        assert kept_all >= together


def test_a_base_on_a_cpu_takes_twice_as_much_and_a_streamed_one_the_same(capsys):
    half, whole = table(capsys), table(capsys, "--compute", "fp32")
    assert float(whole["lora"][0]) == pytest.approx(2 * float(half["lora"][0]), abs=0.02)
    assert whole["lora"][-1] == half["lora"][-1]
    assert whole["full"] == half["full"] and half["full"][-1] == "-"


def test_sizes_may_be_others(capsys):
    rows = table(capsys, "--weights", str(POCKET), "--max-pixels", "16384", "--batch", "2")
    assert float(rows["lora"][6]) < 1
    ranks = [float(table(capsys, "--rank", rank)["lora"][1]) for rank in ("16", "32")]
    assert ranks[1] == pytest.approx(2 * ranks[0], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--max-pixels", "9"], "--max-pixels must be from 256"),
        (["--batch", "0"], "--batch must be from 1"),
        (["--rank", "0"], "--rank must be from 1"),
        (["--weights", "nowhere/at/all"], "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, reason, capsys):
    assert cli.main(["train", "memory", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
