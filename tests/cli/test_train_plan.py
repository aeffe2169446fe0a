"""`qwenimage train plan N`: a table by formulas, or one line."""

import json
import re

import pytest

from qwenimage_ref import cli
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.parity.bench.sharded import FILE
from qwenimage_ref.repository import POCKET, ROOT
from qwenimage_ref.train.sharded.plan import Plan

README = ROOT / "README.md"


def planned(capsys, *arguments) -> dict[str, float]:
    """{row of the table: its number}"""
    assert cli.main(["train", "plan", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    return {
        m[1].strip(): float(m[2])
        for m in (re.match(r"(.+?) +([\d.]+)( GB| s|)$", line) for line in lines)
    }


def test_the_plan_of_the_official_model_adds_up(capsys):
    rows = planned(capsys, "8")
    total = rows.pop("together, in each process")
    share = rows["its share of weights, gradients, moments, average"]
    assert share == pytest.approx(20 * 20.43 / 8, abs=0.1)
    parts = [size for name, size in rows.items() if "gathered" in name or "block" in name]
    assert total == pytest.approx(share + sum(parts), abs=0.3)


def test_eight_times_as_many_processes_hold_an_eighth_of_the_weights(capsys):
    eight, many = planned(capsys, "8"), planned(capsys, "64")
    name = "its share of weights, gradients, moments, average"
    assert eight[name] == pytest.approx(8 * many[name], rel=0.02)
    assert many["pictures a second"] > 7 * eight["pictures a second"]


def test_a_lora_and_another_model_may_be_planned(capsys):
    rows = planned(capsys, "2", "--rank", "32", "--weights", str(POCKET), "--batch", "4")
    assert "adapter, gradients, moments, average" in rows


def test_the_official_lora_of_rank_32_has_its_published_size(capsys):
    rows = planned(capsys, "8", "--rank", "32")
    assert rows["adapter, gradients, moments, average"] == pytest.approx(20 * 0.23593, abs=0.1)


def test_the_rate_of_a_single_core_may_be_given_and_the_readme_gives_the_measured_one(capsys):
    block = json.loads(FILE.read_text(encoding="utf-8"))["block"]
    (given,) = re.findall(r"train plan .*--tflops ([\d.]+)", README.read_text(encoding="utf-8"))
    assert float(given) == block["tflops"]
    rows = planned(capsys, "1", "--tflops", given)
    operations = Plan(MMDiTConfig.official(), 1, 1, 4096, 256).operations()
    assert rows["a step, where both go on at once"] == pytest.approx(
        operations / (1e12 * float(given)), abs=0.1
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["0"], "processes must be from 1"),
        (["8", "--batch", "12"], "batch must be a multiple of the 8 processes, got 12"),
        (["8", "--max-pixels", "9"], "--max-pixels must be from 256"),
        (["8", "--tflops", "nan"], "--tflops must be from 0.001"),
        (["8", "--weights", "nowhere/at/all"], "nowhere"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments, reason, capsys):
    assert cli.main(["train", "plan", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
