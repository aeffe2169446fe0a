"""`qwenimage train MODE`: every mode trains, is resumed and refuses in one line what cannot be."""

import dataclasses
import json

import pytest
import torch
from helpers.train_commands import ARGUMENTS, PROMPT, arguments, table, write_data
from PIL import Image
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.repository import POCKET


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path)


def command(data, mode, *more, **names):
    return cli.main(arguments(data, mode, *more, **names))


def refused(capsys) -> str:
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("qwenimage:")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


# -- every mode


def test_every_mode_is_tried_here():
    assert ARGUMENTS.keys() == MODES.keys()


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_trains_and_the_same_command_has_nothing_left_to_do(data, mode, capsys, monkeypatch):
    monkeypatch.chdir(data)
    assert command(data, mode) == 0, capsys.readouterr().err
    first = capsys.readouterr().out
    report = {"full": "whole: ", "control": "my.safetensors: 8 blocks"}.get(mode, "rank 2")
    assert report in first
    logs = list((data / "runs").rglob("log.csv"))
    assert len(logs) == (2 if mode == "differential" else 1)
    written = {file: file.read_bytes() for file in data.glob("my.safetensors")}
    assert command(data, mode) == 0
    assert {file: file.read_bytes() for file in data.glob("my.safetensors")} == written
    if mode == "control":
        guide = f"{data / 'my.safetensors'}={data / 'controlled' / '0.png'}"
        report = ["paint", PROMPT, "-o", str(data / "out.png"), "--steps", "2", "--cfg", "1"]
        assert cli.main([*report, "--control", guide]) == 0
    elif written:
        report = ["paint", PROMPT, "-o", str(data / "out.png"), "--steps", "2", "--cfg", "1"]
        assert cli.main([*report, "--lora", str(data / "my.safetensors")]) == 0
        assert "rank 2" in capsys.readouterr().err


def test_options_and_choices_agree_on_every_field():
    for mode in MODES.values():
        fields = {field.name for field in dataclasses.fields(mode.kind)}
        adapter = {"rank", "alpha", "targets"} if mode.name == "distill" else set()
        assert mode.options.keys() - {"reward"} == fields | adapter, mode.name


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--lr", "1"), "--lr must be below 0.1, got 1; "),
        (("--steps", "0"), "--steps must be at least 1, got 0"),
        (("--sample-every", "0"), "--sample-every must be at least 1"),
    ],
)
def test_an_option_that_cannot_be_is_one_line_in_every_mode(data, mode, options, complaint, capsys):
    assert command(data, mode, *options) == 2
    assert complaint in refused(capsys)
    assert not (data / "runs").exists()


@pytest.mark.parametrize("mode", ["lora", "full", "control", "dpo", "distill"])
def test_an_empty_folder_is_one_line(data, mode, capsys, monkeypatch):
    monkeypatch.setattr(QwenImage, "from_pretrained", None)  # nothing is loaded for it
    assert command(data, mode, "--data", str(data / "empty")) == 2
    assert "empty " in refused(capsys)


@pytest.mark.parametrize("mode", ["grpo", "imitate", "dmd2"])
def test_an_empty_list_of_prompts_is_one_line(data, mode, capsys, monkeypatch):
    (data / "prompts.txt").write_text("\n")
    monkeypatch.chdir(data)
    assert command(data, mode) == 2
    assert "must hold a prompt a line, got none" in refused(capsys)


# -- single modes


def test_pairs_without_a_loser_are_one_line(data, capsys):
    table(data / "comparisons", [{"prompt": PROMPT, "winner": "0.png"}])
    assert command(data, "dpo") == 2
    assert "1 of 1 rows cannot be used (row 1 has no loser)" in refused(capsys)


def test_teacher_pictures_without_a_seed_are_one_line(data, capsys):
    table(data / "taught", [{"prompt": PROMPT, "image": "0.png"}])
    assert command(data, "distill") == 2
    assert "row 1 has no seed" in refused(capsys)


def test_teacher_pictures_that_would_be_shrunk_are_one_line(data, capsys):
    assert command(data, "distill", "--max-pixels", "4096") == 2
    assert "must keep the size that it was painted in, got 128x128" in refused(capsys)


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--reward", "rewards:broken"), "must be finite, got nan for picture 1 of"),
        (("--reward", "rewards:short"), "must return 2 numbers, one a picture, got 1"),
        (("--reward", "rewards:missing"), "--reward must be posters or MODULE:FUNCTION"),
        (("--reward", "nothing"), "--reward must be posters or MODULE:FUNCTION"),
        (("--inner", "3"), "--steps must be a multiple of --inner 3, got 2"),
        (("--group", "1"), "--group must be at least 2, got 1"),
        (("--sampling-steps", "1"), "--sampling-steps must be at least 2, got 1"),
        (("--ratio-clip", "0"), "--ratio-clip must be above 0 and finite, got 0.0"),
        (("--size", "100x100"), "must be a positive multiple of 16"),
    ],
)
def test_what_no_reward_can_be_learned_by_is_one_line(
    data, options, complaint, capsys, monkeypatch
):
    monkeypatch.chdir(data)
    assert command(data, "grpo", *options) == 2
    assert complaint in refused(capsys)
    assert not (data / "runs" / "state.safetensors").exists()


def test_another_body_of_the_same_reward_is_not_taken_up(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    assert command(data, "grpo") == 0
    file = data / "rewards.py"
    file.write_text(file.read_text().replace("[sum(", "[-sum("))
    capsys.readouterr()
    assert command(data, "grpo") == 2
    assert "was trained on other data, or on other weights" in refused(capsys)


def test_a_reward_that_raises_is_one_line(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    assert command(data, "grpo", "--reward", "rewards:failing") == 2
    assert "got KeyError: 'nothing' for 'a " in refused(capsys)


def test_groups_of_equal_rewards_are_noted_and_the_run_ends_well(data, capsys, monkeypatch):
    monkeypatch.chdir(data)
    assert command(data, "grpo", "--reward", "rewards:equal") == 0
    lines = capsys.readouterr().err.splitlines()
    (note,) = [line for line in lines if "note: all 2 rewards of" in line]
    assert note.startswith("qwenimage: note: ")  # and not behind the progress bar
    line = json.loads((data / "runs" / "log.jsonl").read_text().splitlines()[-1])
    assert line["equal_groups"] == 1.0


def test_a_judge_of_real_pictures_is_trained_beside_student_and_fake(data, capsys):
    real = ("--real", str(data / "pictures"), "--adversarial", "0.01")
    assert command(data, "dmd2", *real) == 0, capsys.readouterr().err
    line = json.loads((data / "runs" / "log.jsonl").read_text().splitlines()[-1])
    assert {"fake_loss", "judge_loss", "student_loss", "fooling_loss"} <= line.keys()


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--adversarial", "0.01"), "--adversarial must be above 0 with --real FOLDER, and"),
        (("--real", "pictures"), "--adversarial must be above 0 with --real FOLDER, and"),
        (("--adversarial", "-1", "--real", "pictures"), "must be finite and at least 0, got -1.0"),
        (("--adversarial", "1", "--real", "pictures", "--size", "64x64"),
         "real must be pictures whose latents are (16, 8, 8)"),
        (("--adversarial", "1", "--real", "empty"), "empty "),
    ],
)  # fmt: skip
def test_real_pictures_and_their_weight_go_together(data, options, complaint, capsys, monkeypatch):
    monkeypatch.chdir(data)
    Image.new("RGB", (96, 48)).save(data / "pictures" / "0.png")
    assert command(data, "dmd2", *options) == 2
    assert complaint in refused(capsys)


def test_a_prompt_that_names_no_shape_cannot_be_judged_by_the_reader(data, capsys):
    (data / "prompts.txt").write_text("a cat\n")
    assert command(data, "grpo", "--reward", "posters") == 2
    assert "must name a shape, got 'a cat'" in refused(capsys)


def test_an_adapter_of_another_rank_is_not_taken_up(data, capsys):
    assert command(data, "lora", steps=1) == 0
    capsys.readouterr()
    assert command(data, "lora", "--rank", "3", steps=1) == 2
    assert "rank 2 there, 3 here" in refused(capsys)


def test_every_weight_is_written_as_a_transformer_that_paints(data, capsys):
    assert command(data, "distill", "--whole", steps=1) == 0
    config = json.loads((data / "whole" / "config.json").read_text())
    assert config["num_layers"] == 8
    ours = load_file(data / "whole" / "diffusion_pytorch_model.safetensors")
    theirs = load_file(POCKET / "transformer" / "diffusion_pytorch_model.safetensors")
    assert ours.keys() == theirs.keys()
    out = ["paint", PROMPT, "-o", str(data / "out.png"), "--steps", "2"]
    assert cli.main([*out, "--transformer", str(data / "whole")]) == 0


@pytest.mark.parametrize("option", [("--stream",), ("--preset-lora", "any.safetensors")])
def test_every_weight_is_trained_in_memory_and_alone(data, option, capsys):
    assert command(data, "full", *option) == 2
    assert "must go with an adapter" in refused(capsys)


def test_a_folder_that_holds_something_else_is_not_written_over(data, capsys):
    assert command(data, "full", to="pictures") == 2
    assert "--to must be new, empty or hold a transformer" in refused(capsys)


def test_a_preset_adapter_is_on_in_training_and_not_in_what_is_written(data, monkeypatch):
    assert command(data, "lora", steps=1, to="preset.safetensors") == 0
    scales, forward = [], MMDiT.forward

    def spy(mmdit, *rest, **more):
        scales.append([adapter.scale for adapter in mmdit._lora.adapters])
        return forward(mmdit, *rest, **more)

    monkeypatch.setattr(MMDiT, "forward", spy)
    preset = ("--preset-lora", str(data / "preset.safetensors"), "--runs", str(data / "second"))
    assert command(data, "dpo", *preset, steps=1) == 0
    assert scales == [[1.0, 0.0], [1.0, 1.0]]  # reference and policy
    assert len(load_file(data / "my.safetensors")) == len(load_file(data / "preset.safetensors"))


# -- two stages


@pytest.mark.parametrize(
    "mode, kind", [("lora", "pictures"), ("dpo", "comparisons"), ("distill", "taught")]
)
def test_two_stages_write_the_adapter_of_one_and_load_no_encoder(
    data, mode, kind, capsys, monkeypatch
):
    assert command(data, mode, to="one.safetensors") == 0
    prepare = ["--data", str(data / kind), "--kind", kind, "--to", str(data / "prepared")]
    assert cli.main(["train", "prepare", *prepare]) == 0
    monkeypatch.setattr(QwenImage, "from_pretrained", None)
    _, small = ARGUMENTS[mode]
    second = ["--prepared", str(data / "prepared"), "--to", str(data / "two.safetensors")]
    runs = ["--runs", str(data / "second"), "--steps", "2", "--lr", "1e-3"]
    assert cli.main(["train", mode, *second, *runs, *small]) == 0, capsys.readouterr().err
    one, two = (load_file(data / f"{name}.safetensors") for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one | two)


def test_a_sample_needs_the_encoders_that_prepared_data_spare(data, capsys):
    prepared = ["train", "lora", "--prepared", str(data), "--sample", PROMPT]
    assert cli.main([*prepared, "--to", str(data / "a.safetensors")]) == 2
    assert "--sample must go without --prepared" in refused(capsys)
