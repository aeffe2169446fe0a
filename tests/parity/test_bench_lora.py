"""What the benchmark of LoRA training compares is the same step, and what is off is said."""

import json
import math
from dataclasses import replace

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.parity.bench import fresh_process, lora, lora_tasks
from qwenimage_ref.parity.bench.lora_tasks import RANK, WIDE, with_heads
from qwenimage_ref.parity.bench.parts import Row

on_linux = pytest.mark.skipif(
    not fresh_process.can_measure_memory(), reason="memory is read from /proc"
)
SMALL = {"heads": 1, "side": 4, "rounds": 1}


def test_ours_and_pefts_step_have_the_same_gradients():
    rows = list(lora.step_rows(**SMALL))
    assert [row.what.rpartition(" ")[2] for row in rows] == ["float32", "bfloat16"]
    assert rows[0].error <= rows[0].allowed == lora.SAME
    assert 0 < rows[1].error <= rows[1].allowed < 0.05
    assert all(math.isfinite(row.gain) and row.gain > 0 for row in rows)


def test_an_adapter_that_counts_twice_is_told_apart(monkeypatch):
    plain = lora_tasks.inject_ours

    def doubled(mmdit):
        call, weights = plain(mmdit)
        for pair in lora_tasks.lora.adapters(mmdit)[0].pairs.values():
            pair.alpha = 2.0 * RANK
        return call, weights

    monkeypatch.setitem(lora_tasks.SIDES, "ours", doubled)
    row = next(lora.step_rows(**SMALL))
    assert any("off by" in text for text in row.missed)


@pytest.mark.parametrize("who", ["ours", "peft"])
def test_the_step_whose_memory_is_measured_gives_every_matrix_a_gradient(who, monkeypatch):
    monkeypatch.setattr(lora_tasks, "peak_rise", lambda step: step())
    gradients = lora_tasks.step_task(who, "bfloat16", "1", "4")["peak"]
    assert len(gradients) == 2 * 12
    assert all(grad.dtype == torch.float32 and grad.any() for grad in gradients.values())


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("narrow")
    config = replace(with_heads(WIDE, 1), num_layers=2, joint_attention_dim=32)
    lora.write_base(folder, config)
    return folder


@on_linux
def test_resident_and_streamed_end_in_the_same_bits_and_the_parts_are_summed(narrow):
    rows = {how: lora_tasks.train_task(str(narrow), how, "4") for how in lora.HOW}
    assert rows["resident"]["sha256"] == rows["streamed"]["sha256"]
    for row in rows.values():
        assert row["seconds"] > 0 and row["predicted"] == sum(row["parts"].values())
    assert rows["streamed"]["predicted"] < rows["resident"]["predicted"]


def test_one_and_one_step_are_two_to_the_last_bit(narrow):
    assert lora_tasks.resume_task(str(narrow), "streamed", "4") == {"same bits": True}


@on_linux
def test_the_command_itself_is_measured_from_a_forged_folder(tmp_path):
    forge(tmp_path / "tiny", TINY)
    result = lora_tasks.command_task(str(tmp_path / "tiny"))
    assert result["seconds"] > 0 and result["file"] > 0


def test_what_the_official_model_takes_is_nine_tenths_base():
    said = lora.official_bytes()
    assert said["adapter_parameters"] == 117_964_800  # half of those of rank 32
    resident, streamed = said["resident_gb"], said["streamed_gb"]
    assert resident["base"] == pytest.approx(40.86, abs=0.01)
    assert resident["base"] > 0.9 * resident["all"] > 0.9 * 8 * streamed["all"]
    parts = [part for part in resident if part != "all"]
    assert resident["all"] == pytest.approx(sum(resident[part] for part in parts), abs=0.03)


@pytest.mark.parametrize("ratio, said", [(0.95, 0), (1.11, 1), (0.85, 1), (math.nan, 1)])
def test_a_formula_that_is_off_by_more_than_a_tenth_is_said(ratio, said):
    row = {"blocks": 4, "base": "streamed", "formula over measured": ratio}
    assert len(lora.missed([], [row])) == said


def test_a_step_that_is_slower_than_pefts_is_said():
    row = Row("step", "s", ours=1.1, reference=1.0, target=lora.BLOCK)
    assert lora.missed([row], []) == ["step: 0.91x, wanted 0.95x"]


def test_parts_are_kept_beside_those_of_an_earlier_run(tmp_path):
    file = tmp_path / "lora.json"
    lora.keep(file, peft={"rows": []})
    lora.keep(file, wide={"steps": []})
    kept = json.loads(file.read_text())
    assert {"about", "peft", "wide"} <= kept.keys() and kept["wide"]["versions"]["peft"]


@pytest.mark.parametrize("arguments", [["wide"], ["peft", "folder"]])
def test_a_folder_belongs_to_the_wide_part_alone(arguments, capsys):
    with pytest.raises(SystemExit):
        lora.main(arguments)
    assert "FOLDER must be given for wide" in capsys.readouterr().err


def test_the_record_holds_every_part_within_its_bounds():
    record = json.loads(lora.FILE.read_text(encoding="utf-8"))
    assert all(row.pop("gain") for row in record["peft"]["rows"])
    rows = [Row(**row) for row in record["peft"]["rows"]]
    formula, wide = record["formula"]["rows"], record["wide"]
    steps = [row | {"blocks": 2} for row in wide["steps"]]
    assert lora.missed(rows, formula + steps) == [] and len(rows) == 4
    assert {(row["blocks"], row["base"]) for row in formula} == {
        (count, how) for count in lora.BLOCKS for how in lora.HOW
    }
    assert wide["streamed gives the same bits"] and wide["1 + 1 steps are 2 to the last bit"]
