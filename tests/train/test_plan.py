"""The plan of a training over several processes: its formulas against what they stand for."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.live_memory import LiveMemory
from helpers.nets import SMALL
from torch.distributed.tensor import DTensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.bench import sharded
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.train.recompute import recompute
from qwenimage_ref.train.sharded.network import divide
from qwenimage_ref.train.sharded.plan import KEPT, Plan, block_operations
from qwenimage_ref.train.sharded.processes import Processes

OFFICIAL = MMDiTConfig.official()
NARROW = replace(OFFICIAL, num_layers=2, num_attention_heads=4, joint_attention_dim=64)


def plan(processes, batch=64, **more) -> Plan:
    return Plan(OFFICIAL, processes, batch, 4096, 256, **more)


def test_the_operations_of_a_block_are_those_that_torch_counts():
    with torch.device("meta"):
        block = MMDiT(OFFICIAL).transformer_blocks[0]
        streams = [torch.empty(1, tokens, 3072) for tokens in (256, 64)]
        turns = [torch.empty(tokens, 64, dtype=torch.complex64) for tokens in (256, 64)]
        with FlopCounterMode(display=False) as counted:
            block(*streams, torch.empty(1, 1, 3072), *turns)
    assert counted.get_total_flops() == block_operations(3072, 256, 64)


@pytest.mark.parametrize("processes", [8, 64])
def test_a_process_of_the_official_network_holds_what_the_plan_says(processes):
    pytest.importorskip("torch.testing._internal.distributed.fake_pg")
    with fake(processes) as first, torch.device("meta"):
        network = MMDiT(replace(OFFICIAL, num_layers=2))
        divide(network, first, torch.bfloat16)
        own = sum(p.to_local().numel() for p in network.parameters())
        assert all(isinstance(p, DTensor) for p in network.parameters())
    two = Plan(network.config, processes, processes, 4096, 256)
    expected = two.memory()["its share of weights, gradients, moments, average"]
    assert 4 * KEPT * own == pytest.approx(expected, rel=0.01)


class fake:
    """Context of the first of many processes, of which the others are not there."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        from torch.distributed.device_mesh import init_device_mesh
        from torch.testing._internal.distributed.fake_pg import FakeStore

        torch.distributed.init_process_group(
            "fake", store=FakeStore(), rank=0, world_size=self.size
        )
        mesh = init_device_mesh("cpu", (self.size,))
        return Processes(0, self.size, torch.device("cpu"), mesh)

    def __exit__(self, *_):
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("side", [16, 32])
def test_activations_of_full_training_are_what_the_plan_says(dtype, side):
    with torch.device("meta"):
        network = MMDiT(NARROW)
    network = random_weights(network.to(dtype), 0)
    recompute(network)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    img, txt = torch.randn(1, side * side, 64).to(dtype), torch.randn(1, 48, 64).to(dtype)
    with LiveMemory() as live:
        network(img, txt, torch.tensor([0.5]), [(1, side, side)]).float().pow(2).mean().backward()
    parts = Plan(NARROW, 1, 1, side * side, 48, itemsize=dtype.itemsize).memory()
    expected = parts["between blocks"] + parts["inside a block"]
    weight = max(p.nbytes for p in network.parameters())  # a gradient, before it is added
    assert expected == pytest.approx(live.peak, rel=0.12, abs=weight)


class LiveActivations(LiveMemory):
    """The same without gradients of weights, which have the weights' shapes."""

    def __init__(self, network):
        super().__init__()
        self.shapes = {p.shape for p in network.parameters()}
        self.shapes |= {shape[::-1] for shape in self.shapes}

    def storages(self, result):
        return super().storages(
            [
                each
                for each in tree_leaves(result)
                if getattr(each, "shape", None) not in self.shapes
            ]
        )


def test_two_blocks_of_official_width_hold_the_activations_of_the_plan():
    with torch.device("meta"):
        network = MMDiT(replace(OFFICIAL, num_layers=2)).bfloat16()
    network.to_empty(device="cpu").requires_grad_(True)
    recompute(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.01)
    img, txt = torch.ones(1, 256, 64).bfloat16(), torch.ones(1, 64, 3584).bfloat16()
    with LiveActivations(network) as live:
        network(img, txt, torch.tensor([0.5]), [(1, 16, 16)]).float().sum().backward()
    parts = Plan(network.config, 1, 1, 256, 64).memory()
    expected = parts["between blocks"] + parts["inside a block"]
    assert live.peak <= expected <= 1.2 * live.peak  # short texts hold less than it counts


def test_full_training_of_the_official_network_takes_five_float32_numbers_a_weight():
    parts = [plan(processes).memory() for processes in (8, 64)]
    shares = [each["its share of weights, gradients, moments, average"] for each in parts]
    assert shares[0] == pytest.approx(20 * 20_430_401_088 / 8)
    assert shares[0] == pytest.approx(8 * shares[1], rel=1e-6)


def test_kept_weights_travel_once_less_and_all_stay():
    again, kept = plan(8), plan(8, keep_gathered=True)
    total, block, rest = again.parameters
    assert again.memory()["gathered weights"] == 2 * (2 * block + rest)
    assert kept.memory()["gathered weights"] == 2 * total
    assert again.traffic() - kept.traffic() == 2 * total * 7 // 8


def test_recomputing_saves_what_is_inside_all_blocks_but_one():
    kept, again = plan(8, recompute=False).memory(), plan(8).memory()
    assert kept["inside a block"] == 60 * again["inside a block"] and kept["between blocks"] == 0
    assert plan(8).operations() * 3 == plan(8, recompute=False).operations() * 4


def test_an_adapter_leaves_the_base_at_two_bytes_a_weight_and_itself_at_twenty():
    parts = plan(8, adapter=1000).memory()
    assert parts["its share of the base"] == pytest.approx(2 * 20_430_401_088 / 8)
    assert parts["adapter, gradients, moments, average"] == 20_000
    assert "gradients of a block, summed" not in parts


def test_a_step_takes_as_long_as_the_slower_of_computing_and_sending():
    eight = plan(8)
    assert eight.seconds(1e15, 1e20) == eight.operations() / 1e15
    assert eight.seconds(1e30, 1e11) == pytest.approx(8 * 20_430_401_088 * 7 / 8 / 1e11)
    assert plan(1, adapter=5).traffic() == 0


def test_at_the_rate_of_one_block_the_plan_predicts_what_two_blocks_took():
    """Within a factor of 1.5, with as many tokens and with a quarter: the record of the bench."""
    measured = json.loads(sharded.FILE.read_text(encoding="utf-8"))["block"]
    assert {*measured["two blocks"]} == {str(sharded.SIDE), str(sharded.SMALL_SIDE)}
    for side, seconds in measured["two blocks"].items():
        config = replace(OFFICIAL, num_layers=2)
        one_process = Plan(config, 1, 1, int(side) ** 2, sharded.TEXT_TOKENS)
        predicted = one_process.seconds(1e12 * measured["tflops"], link=1.0)
        assert 1 / 1.5 <= predicted / seconds <= 1.5


def test_a_batch_that_the_processes_cannot_share_is_refused():
    with pytest.raises(ValueError, match="multiple of the 8 processes, got 12"):
        plan(8, batch=12)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        plan(0)


def test_the_small_network_is_counted_like_the_official_one():
    total, block, rest = Plan(SMALL, 1, 1, 4, 4).parameters
    assert total == sum(p.numel() for p in MMDiT(SMALL).parameters()) == 2 * block + rest
