"""What a process of several reads from the files and holds of the weights: its share, no more."""

import gc
import sys
from dataclasses import replace

import pytest
import torch
from helpers import several_processes
from helpers.live_memory import LiveMemory
from helpers.nets import SMALL

from qwenimage_ref.checkpoint import save
from qwenimage_ref.checkpoint.fill import open_official
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.train.recompute import recompute
from qwenimage_ref.train.sharded import network as sharded
from qwenimage_ref.train.sharded.plan import Plan

DEEP = replace(SMALL, num_layers=8)  # blocks enough that two of them are not nearly all
IMAGE, TEXT = 4, 3  # tokens
SIZE = 4  # processes


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    with torch.device("meta"):
        network = MMDiT(DEEP)
    save(random_weights(network, 0), folder)
    return folder


def whole_bytes() -> int:
    return 4 * Plan(DEEP, 1, 1, IMAGE, TEXT).parameters[0]


def divided(processes, keep=False) -> MMDiT:
    with torch.device("meta"):
        network = MMDiT(DEEP)
    recompute(network)
    sharded.divide(network, processes, torch.float32, keep)
    return network.to_empty(device="cpu")


def own_bytes(network) -> int:
    return sum(parameter.to_local().nbytes for parameter in network.parameters())


def bytes_read() -> int:
    """By this process from files, since it began"""
    with open("/proc/self/io") as counts:
        return int(counts.readline().removeprefix("rchar: "))


def fill_counted(processes, weights):
    """-> bytes of its share, bytes that it reads, and the peak of tensors that it holds besides"""
    places, network = open_official(weights), divided(processes)
    sharded.fill_share(network, places, processes)  # Python reads modules that are new to it
    before = bytes_read() if sys.platform == "linux" else None
    sharded.fill_share(network, places, processes)
    read = bytes_read() - before if sys.platform == "linux" else own_bytes(network)
    with LiveMemory() as live:
        sharded.fill_share(network, places, processes)
    return own_bytes(network), read, live.peak


@pytest.fixture(scope="module")
def filled(weights):
    return several_processes.call(SIZE, fill_counted, weights)


def test_a_process_reads_the_bytes_of_its_share_and_no_others(filled):
    for own, read, _ in filled:
        assert own == pytest.approx(whole_bytes() / SIZE, rel=0.01)
        assert read == pytest.approx(own, rel=0.02)
    assert sum(own for own, *_ in filled) == whole_bytes()


def test_while_it_reads_a_process_holds_a_share_of_one_tensor_besides_its_own(filled, weights):
    largest = max(place.stop - place.start for place in open_official(weights).places.values())
    for _, _, peak in filled:
        assert 0 < peak <= 1.1 * largest / SIZE  # the stored bytes


def held_bytes() -> int:
    """Of all storages that a tensor of Python refers to"""
    tensors = [each for each in gc.get_objects() if isinstance(each, torch.Tensor)]
    plain = [each for each in tensors if type(each) in (torch.Tensor, torch.nn.Parameter)]
    storages = [each.untyped_storage() for each in plain if each.device.type == "cpu"]
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())


def most_held(processes, weights):
    """-> the most bytes of tensors in any block, where weights are gathered again, and are kept"""
    return [most_held_by(processes, weights, keep) for keep in (False, True)]


def most_held_by(processes, weights, keep: bool) -> int:
    gc.collect()
    before, network, counts = held_bytes(), divided(processes, keep).requires_grad_(True), []
    sharded.fill_share(network, open_official(weights), processes)
    for block in torch.nn.ModuleList.__iter__(network.transformer_blocks):  # blocks, not calls
        for layer in (block.img_mlp, block.attn):  # layers inside, which need the weights
            layer.register_forward_pre_hook(lambda *_: counts.append(held_bytes() - before))
    img, txt = torch.ones(1, IMAGE, 64), torch.ones(1, TEXT, DEEP.joint_attention_dim)
    network(img, txt, torch.tensor([0.5]), [(1, 2, 2)]).sum().backward()
    assert len(counts) == 4 * DEEP.num_layers  # two layers, forward and recomputed
    return max(counts)


def test_in_no_block_a_process_holds_the_whole_model(weights):
    """Its shares of weights and gradients, and what the plan says is gathered, but not all."""
    again, kept = zip(*several_processes.call(SIZE, most_held, weights))
    parts = Plan(DEEP, SIZE, SIZE, IMAGE, TEXT, itemsize=4).memory()
    names = ("gathered weights", "gradients of a block, summed", "inside a block", "between blocks")
    allowed = 2 * whole_bytes() / SIZE + sum(parts[name] for name in names)
    assert allowed < 1.2 * whole_bytes()
    assert all(whole_bytes() / SIZE < most <= allowed for most in again)
    assert all(most > 1.25 * whole_bytes() for most in kept)
