"""A damaged or foreign training state is refused in one line, whatever is wrong with it."""

import os
import random
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from test_loop import RECIPE, small_run, undisturbed
from torch import nn

from qwenimage_ref.train import state
from qwenimage_ref.train.loop import Run
from qwenimage_ref.train.run_folder import RunError, RunFolder

# -- states ---------------------------------------------------------------------------------------


def resealed(file: Path, tensors: dict) -> None:
    """The same file with other tensors and a checksum that fits them."""
    with safe_open(file, framework="pt") as opened:
        terms = opened.metadata()
    terms.pop(state.CHECKSUM)
    folder = RunFolder(file.parent)
    state.write_tensors(folder, file, tensors, terms)


def refusal(folder: Path) -> str:
    with pytest.raises(RunError) as refused:
        small_run(folder)
    text = str(refused.value)
    assert text.isprintable() and len(text) < 900 and str(folder) in text
    return text


@pytest.fixture(scope="module")
def whole_state(tmp_path_factory) -> bytes:
    return undisturbed(tmp_path_factory.mktemp("whole")).state_file.read_bytes()


@pytest.fixture
def stored(tmp_path, whole_state) -> Path:
    file = tmp_path / "state.safetensors"
    file.write_bytes(whole_state)
    return file


SPOILED = {  # what is changed in a state of ten steps: the complaint
    "a weight is NaN": (lambda t: t["weight.3.bias"].fill_(torch.nan), "weight.3.bias holds NaN"),
    "a moment is infinite": (
        lambda t: t["exp_avg.0.bias"].fill_(torch.inf), "exp_avg.0.bias holds NaN or infinity"
    ),
    "an average of one number": (
        lambda t: t.update({"average.3.weight": torch.ones(1)}),
        r"average.3.weight must be \(2, 16\) torch.float32, got \(1,\)",
    ),
    "an average of halves": (
        lambda t: t.update({"average.3.bias": torch.ones(2).half()}), "got .* torch.float16"
    ),
    "an average is missing": (lambda t: t.pop("average.0.bias"), "lacks average.0.bias"),
    "half of the moments": (lambda t: t.pop("exp_avg_sq.0.bias"), "lacks exp_avg_sq.0.bias"),
    "no step": (lambda t: t.pop("step"), "lacks step"),
    "one tensor more": (lambda t: t.update(more=torch.ones(1)), "holds more, which nothing asks"),
    "a step beyond the end": (lambda t: t["step"].fill_(11), "step 11 is not in 0 to 10"),
    "a step below zero": (lambda t: t["step"].fill_(-1), "step -1 is not in 0 to 10"),
    "a step of several": (lambda t: t.update(step=torch.tensor([1, 2])), r"step must be \(\)"),
    "a fractional step": (lambda t: t.update(step=torch.tensor(1.5)), "got .* torch.float"),
    "more steps of AdamW than of the run": (
        lambda t: t["step.0.bias"].fill_(12), "an optimiser took 12 of 10 steps"
    ),
    "a weight of another shape": (
        lambda t: t.update({"weight.0.bias": torch.ones(5)}), "of another network"
    ),
}  # fmt: skip


@pytest.mark.parametrize("change, complaint", SPOILED.values(), ids=SPOILED)
def test_a_state_that_no_run_of_this_kind_has_written_is_refused(stored, change, complaint):
    tensors = load_file(stored)
    change(tensors)
    resealed(stored, tensors)
    with pytest.raises(RunError, match=complaint):
        small_run(stored.parent)


def test_the_moments_of_a_weight_that_never_had_a_gradient_may_be_missing(stored):
    tensors = load_file(stored)
    for key in ("step", "exp_avg", "exp_avg_sq"):
        del tensors[f"{key}.0.bias"]
    resealed(stored, tensors)
    assert small_run(stored.parent)[0].step == 10


def test_a_state_cut_short_is_refused(stored, whole_state):
    stored.write_bytes(whole_state[:-10])
    assert "is damaged" in refusal(stored.parent) and "remove it" in refusal(stored.parent)


def test_a_state_without_a_checksum_is_refused(stored, monkeypatch):
    monkeypatch.setattr(state, "CHECKSUM", "other")
    assert "its checksum does not fit" in refusal(stored.parent)


def test_a_pipe_in_place_of_a_state_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "state.safetensors")
    assert "not a regular file" in refusal(tmp_path)


def flipped(content: bytes, chance: random.Random) -> bytes:
    place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def doubled(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return content[:start] + content[start - chance.randrange(64) :]


def overwritten(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content))
    return (content[:start] + chance.randbytes(chance.randrange(1, 64)) + content[start:])[
        : len(content)
    ]


def test_400_states_with_damaged_bytes_are_refused_or_hold_the_same_numbers(stored, whole_state):
    chance, refused, whole = random.Random(0), 0, load_file(stored)
    for _ in range(400):
        stored.unlink()
        stored.write_bytes(chance.choice([flipped, cut, doubled, overwritten])(whole_state, chance))
        try:
            run, _ = small_run(stored.parent)
        except RunError as error:
            assert str(error).isprintable() and len(str(error)) < 900
            refused += 1
        else:
            assert run.step == 10
            assert all(
                torch.equal(weight, whole[f"weight.{name}"])
                for name, weight in zip(run.names, run.weights)
            )
    assert refused > 390


def changed(tensors: dict, chance: random.Random) -> str:
    """Change one tensor of a state; -> how"""
    # not the only moment of a weight: it is missing where there never was a gradient
    key = chance.choice(sorted(key for key in tensors if not key.startswith("momentum_buffer")))
    kind = chance.choice(["remove", "rename", "nan", "shape", "type", "swap", "count"])
    tensor = tensors[key]
    if kind in ("remove", "rename"):
        del tensors[key]
        if kind == "rename":
            tensors[chance.choice([f"{key}.x", key[1:], f"exp_avg.{key}"])] = tensor
    elif kind == "nan" and tensor.is_floating_point():
        tensor.view(-1)[0] = chance.choice([torch.nan, torch.inf, -torch.inf])
    elif kind == "shape":
        tensors[key] = chance.choice([tensor.new_ones(1), tensor[None], tensor.new_ones(0)])
    elif kind == "type":
        tensors[key] = tensor.to(chance.choice([torch.float64, torch.bfloat16, torch.int32]))
    elif kind == "swap":
        other = chance.choice([k for k in tensors if tensors[k].shape != tensor.shape])
        tensors[key], tensors[other] = tensors[other], tensor
    else:
        tensors[key] = torch.full_like(tensors["step"], chance.choice([-1, 11, 10**9, -(2**63)]))
    return f"{kind} {key}"


def test_200_states_with_one_tensor_changed_are_all_refused(stored, whole_state):
    chance, whole = random.Random(1), load_file(stored)
    for _ in range(200):
        tensors = {key: tensor.clone() for key, tensor in whole.items()}
        change = changed(tensors, chance)
        if all(torch.equal(tensors.get(k, torch.empty(0)), whole[k]) for k in whole):
            continue
        resealed(stored, tensors)
        assert refusal(stored.parent), change


def test_another_network_of_the_same_recipe_is_refused_before_its_shapes_are_compared(stored):
    with pytest.raises(RunError, match="of another network"):
        Run(nn.Linear(3, 2), RECIPE, stored.parent)
