"""Training over several processes: the numbers of one process, with a share of its memory."""

import json

import pytest
import torch
from helpers import divided, several_processes
from helpers.divided import COUNT, RECIPE
from helpers.few_examples import EMPTY, examples
from helpers.nets import SMALL, model
from safetensors.torch import load_file
from torch.distributed.tensor.debug import CommDebugMode

from qwenimage_ref.train import full, lora
from qwenimage_ref.train.lora import Flow, Settings, Share

CLOSE = 2e-5  # after ten steps of AdamW; sums are rounded in another order
SIZES = (1, 2, 4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return divided.written_model(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """{name: weight} after the same training without any sharing"""
    folder = tmp_path_factory.mktemp("alone")
    run = full.train(model(), examples(COUNT), EMPTY, RECIPE, Flow(dropout=0.3), folder, quiet=True)
    return {name: weight.detach() for name, weight in run.model.named_parameters()}, run.log_file


@pytest.fixture(scope="module", params=SIZES)
def together(request, tmp_path_factory, weights):
    """Number of processes, their shares of the weights, and the run's folder"""
    runs = tmp_path_factory.mktemp("together")
    shares = several_processes.call(request.param, divided.train, weights, runs)
    return request.param, shares, runs


def largest_difference(ours: dict, theirs: dict) -> float:
    assert ours.keys() == theirs.keys()
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


def test_ten_steps_end_at_the_weights_of_one_process(together, alone):
    written = load_file(together[2] / "out" / "diffusion_pytorch_model.safetensors")
    assert largest_difference(written, alone[0]) <= CLOSE


def test_each_process_holds_its_share_of_the_weights(together):
    size, shares, _ = together
    assert shares == pytest.approx([1 / size] * size, rel=0.01)


def test_the_log_has_the_losses_and_gradients_of_the_whole_batch(together, alone):
    lines = [
        [json.loads(line) for line in file.read_text().splitlines()]
        for file in (together[2] / "log.jsonl", alone[1])
    ]
    for ours, theirs in zip(*lines, strict=True):
        for key in ("step", "loss", "lr", "grad_norm"):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-4)


def test_weights_that_stay_gathered_change_no_number(together, tmp_path, weights):
    size, _, runs = together
    shares = several_processes.call(size, kept, weights, tmp_path)
    ours, theirs = (
        load_file(r / "out/diffusion_pytorch_model.safetensors") for r in (tmp_path, runs)
    )
    assert largest_difference(ours, theirs) == 0.0
    assert shares == pytest.approx([1 / size] * size, rel=0.01)


def kept(processes, weights, runs):
    return divided.train(processes, weights, runs, keep=True)


def test_kept_weights_are_gathered_once_a_step_and_others_twice(tmp_path, weights):
    again, once = (several_processes.call(2, gatherings, weights, keep) for keep in (False, True))
    assert again == [2 * SMALL.num_layers + 1] * 2 and once == [SMALL.num_layers + 1] * 2


def gatherings(processes, weights, keep):
    """-> how often a process asks the others for weights in one forward and backward pass"""
    network = divided.divided(processes, weights, keep=keep).requires_grad_(True)
    txt, img = torch.ones(1, 4, SMALL.joint_attention_dim), torch.ones(1, 4, SMALL.in_channels)
    with CommDebugMode() as counted:
        network(img, txt, torch.tensor([0.5]), [(1, 2, 2)]).sum().backward()
    return sum(n for call, n in counted.get_comm_counts().items() if "allgather" in str(call))


def test_an_adapter_is_that_of_one_process(tmp_path, weights):
    settings = Settings(rank=2, targets="diffusers")
    lora.train(
        model(), examples(COUNT), EMPTY, RECIPE, settings, tmp_path / "alone", quiet=True
    )  # fmt: skip
    several_processes.call(2, divided.train, weights, tmp_path / "two", False)
    ours, theirs = (load_file(tmp_path / n / "state.safetensors") for n in ("two", "alone"))
    assert largest_difference(ours, theirs) <= CLOSE


def test_an_adapter_goes_on_with_another_number_of_processes(tmp_path, weights):
    several_processes.call(2, until, weights, tmp_path / "stopped", 5)
    several_processes.call(1, divided.train, weights, tmp_path / "stopped", False)
    several_processes.call(1, divided.train, weights, tmp_path / "whole", False)
    ours, theirs = (load_file(tmp_path / n / "state.safetensors") for n in ("stopped", "whole"))
    assert largest_difference(ours, theirs) <= CLOSE


def until(processes, weights, runs, step):
    return divided.train(processes, weights, runs, whole=False, until=step)


def test_bfloat16_computes_what_float32_does_to_two_digits_and_keeps_float32(tmp_path, weights):
    several_processes.call(2, bf16_losses, weights, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    several_processes.call(2, divided.train, weights, tmp_path / "fp32")
    exact = [json.loads(line) for line in (tmp_path / "fp32/log.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] == pytest.approx(exact[-1]["loss"], rel=0.02)
    assert lines[-1]["loss"] != exact[-1]["loss"]
    written = load_file(tmp_path / "out" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}


def bf16_losses(processes, weights, runs):
    return divided.train(processes, weights, runs, compute=torch.bfloat16)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_shares_of_a_batch_make_its_mean(count):
    numbers, total = torch.arange(1.0, count + 1), 0.0
    for rank in range(4):
        share = Share(rank, 4)
        total += numbers[share.rows(count)].mean() * share.weight(count) / 4
    assert total == pytest.approx(numbers.mean().item())
