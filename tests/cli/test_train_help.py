"""`qwenimage train MODE --help`: every default is there, with its source, and has that value."""

import re

import pytest

from qwenimage_ref import cli
from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.cli.train_sources import SOURCES, source_of

RECIPE = ("steps", "batch", "lr", "ema", "seed")
STATED = {  # whose number, and of what: the values that it states
    ("DiffSynth", "targets"): ("DiffSynth",),
    ("DiffSynth", "alpha"): ("the rank",),
    ("DiffSynth", "batch"): (1,),
    ("DiffSynth", "ema"): (0.0,),
    ("DiffSynth", "dropout"): (0.0,),
    ("DiffSynth", "lr of lora"): (1e-4,),
    ("DiffSynth", "lr of differential"): (1e-4,),
    ("DiffSynth", "lr of full"): (1e-5,),
    ("DiffSynth", "lr of control"): (1e-3,),
    ("musubi", "rank"): (4, 16),  # of its code, and of its documentation
    ("musubi", "sigma"): ("qwen_shift",),
    ("musubi", "shift"): (2.2,),
    ("musubi", "weighting"): ("none",),
    ("flow_grpo", "lr of grpo"): (3e-4,),
    ("flow_grpo", "sampling_steps"): (10,),
    ("flow_grpo", "noisy"): (0,),
    ("flow_grpo", "starts"): (0,),
    ("flow_grpo", "noise_level"): (0.7,),
    ("flow_grpo", "clip"): (1e-4, 1e-5),
    ("flow_grpo", "beta of dpo"): (100.0,),
    ("flow_grpo", "beta of grpo"): (0.04 / 10,),  # a KL divided by the length of a step
    ("Lightning", "student_steps"): (4, 8),
    ("Lightning", "schedule"): ("Lightning",),
    ("the report", "sigma"): ("uniform",),
    ("the paper", "student_steps"): (1, 4),
    ("the paper", "every"): (5,),
    ("the pipeline", "guidance"): (4.0,),
}


def entries(mode: str, capsys) -> dict[str, str]:
    """Flag -> its part of the help, on one line"""
    with pytest.raises(SystemExit):
        cli.main(["train", mode, "--help"])
    parts = re.split(r"\n  (?=-)", capsys.readouterr().out)[1:]
    return {part.split()[0]: " ".join(part.split()) for part in parts}


def options(mode) -> dict[str, str]:
    """Flag -> field, of all that decides what is learned"""
    choices = {flag: field for field, (flag, _) in mode.options.items()}
    return {f"--{name}": name for name in RECIPE} | choices


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_every_option_states_its_default_and_where_it_comes_from(mode, capsys):
    texts = entries(mode.name, capsys)
    for flag, field in options(mode).items():
        (source,) = re.findall(r"; default [^()]+ \(([^()]+)\)$", texts[flag])
        assert source == source_of(mode.name, flag, field)
    others = texts.keys() - options(mode).keys()
    assert [flag for flag in others if "ours" in texts[flag]] == []


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_default_has_the_value_that_its_source_states(mode, capsys):
    texts, named = entries(mode.name, capsys), set()
    for flag, field in options(mode).items():
        source = source_of(mode.name, flag, field)
        named.add(flag[2:].replace("-", "_") if field == "steps" else field)
        owner = re.match(r"ours|the \w+|\w+", source)[0]
        if owner == "ours":
            continue
        name = flag[2:].replace("-", "_") if field == "steps" else field
        stated = STATED.get((owner, f"{name} of {mode.name}")) or STATED[owner, name]
        shown = re.search(r"; default ([^()]+) \(", texts[flag])[1]
        assert shown in map(str, stated) or float(shown) in map(float, stated), (flag, source)
    assert SOURCES[mode.name].keys() >= named


def test_no_mode_and_no_option_is_without_a_source():
    assert SOURCES.keys() == MODES.keys()


def test_the_help_of_prepare_names_its_modes(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "prepare", "--help"])
    assert "--prepared FOLDER" in " ".join(capsys.readouterr().out.split())
