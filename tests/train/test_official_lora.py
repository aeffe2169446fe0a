"""A LoRA of a model that does not fit: streamed, recomputed, resumed; and its memory."""

import functools
import weakref

import pytest
import torch
from helpers.tiny_model import TINY
from PIL import Image
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qwenimage_ref import cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.train import lora as lora_training
from qwenimage_ref.train.recompute import recompute, training_bytes

IMAGE, TEXT = 256, 16  # tokens, most of them the image's, as in use


# -- the command, from a forged checkpoint --------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "tiny"
    forge(folder, TINY)
    return folder


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, colour in enumerate(("red", "blue")):
        Image.new("RGB", (64, 48), colour).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"all {colour}")
    return folder


def train(folder, pictures, runs, *more) -> dict:
    """-> the tensors of the adapter"""
    file = runs.with_suffix(".safetensors")
    options = ["--data", pictures, "--weights", folder, "--to", file, "--runs", runs, "--steps", 2]
    assert cli.main(["train", "lora", *map(str, options), "--rank", "2", *more]) == 0
    return load_file(file)


STREAMED = ("--stream", "--recompute")


def test_a_streamed_run_that_stopped_after_a_step_ends_in_the_same_bits(
    folder, pictures, tmp_path, monkeypatch
):
    whole = train(folder, pictures, tmp_path / "whole", *STREAMED)
    with monkeypatch.context() as patched:
        patched.setattr(lora_training, "train", functools.partial(lora_training.train, until=1))
        half = train(folder, pictures, tmp_path / "parts", *STREAMED)
    resumed = train(folder, pictures, tmp_path / "parts", *STREAMED)
    assert any(not torch.equal(half[key], whole[key]) for key in whole)
    assert len(whole) == 3 * 12 * TINY.transformer.num_layers  # A, B, alpha
    for key, weight in whole.items():
        assert torch.equal(resumed[key], weight), key


# -- memory ----------------------------------------------------------------------------------------


class PeakMemory(TorchDispatchMode):
    """The largest sum of bytes of tensors created inside; `known` ones do not count."""

    def __init__(self, known):
        super().__init__()
        self.sizes = {tensor.untyped_storage()._cdata: 0 for tensor in known}
        self.now = self.most = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            storage = tensor.untyped_storage() if torch.is_tensor(tensor) else None
            if storage is not None and storage._cdata not in self.sizes:
                self.sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.gone, storage._cdata)
        return result

    def gone(self, key):
        self.now -= self.sizes.pop(key)


def network(blocks: int, heads: int = 4) -> MMDiT:
    config = MMDiTConfig(
        num_layers=blocks,
        num_attention_heads=heads,
        attention_head_dim=32,
        joint_attention_dim=40,
        axes_dims_rope=(8, 12, 12),
    )
    return random_weights(MMDiT(config), 0)


def peak(blocks: int, dtype: torch.dtype, with_recompute: bool = True) -> tuple[int, dict]:
    """-> bytes of a step beyond base and adapter, and the estimate of them, by part"""
    mmdit = network(blocks).to(dtype)
    adapter = lora.inject(mmdit, lora.TARGETS["DiffSynth"], 2)
    if with_recompute:
        recompute(mmdit)
    img, txt = torch.randn(1, IMAGE, 64).to(dtype), torch.randn(1, TEXT, 40).to(dtype)

    def step():
        velocity = mmdit(img, txt, torch.tensor([0.5]), [(1, 16, 16)])
        velocity.float().pow(2).mean().backward()

    watched = PeakMemory([*mmdit.parameters(), *adapter.parameters(), img, txt])
    with watched:
        step()
    count = sum(p.numel() for p in adapter.parameters())
    return watched.most, training_bytes(mmdit, IMAGE, TEXT, count)


def test_each_further_block_costs_its_inputs_and_no_more():
    small, estimate_of_small = peak(2, torch.float32)
    large, estimate_of_large = peak(6, torch.float32)
    stream = 4 * (IMAGE + TEXT) * 128
    estimate = estimate_of_large["between blocks"] - estimate_of_small["between blocks"]
    assert estimate == 4 * stream
    assert large - small == pytest.approx(estimate, rel=0.05)


def test_a_network_that_keeps_everything_is_not_what_the_formula_describes():
    small, large = (peak(blocks, torch.float32, with_recompute=False)[0] for blocks in (2, 4))
    stream = 4 * (IMAGE + TEXT) * 128
    assert large - small > 2 * 15 * stream


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_is_the_peak_of_the_tensors(dtype):
    most, estimate = peak(3, dtype)
    assert estimate["between blocks"] + estimate["inside a block"] == pytest.approx(most, rel=0.1)


def test_of_a_streamed_base_one_block_counts(folder):
    resident = empty_network(folder, "transformer").bfloat16()
    sizes = [sum(p.nbytes for p in block.parameters()) for block in resident.transformer_blocks]
    streamed = empty_network(folder, "transformer")
    load_weights(streamed, folder / "transformer", torch.bfloat16, streamed=True)
    whole, part = (training_bytes(mmdit, 16, 4, 100) for mmdit in (resident, streamed))
    assert whole["base"] - part["base"] == sum(sizes) - sizes[0]
    assert {k: v for k, v in whole.items() if k != "base"} == {
        k: v for k, v in part.items() if k != "base"
    }


def test_of_a_packed_block_the_bytes_in_the_file_count(tmp_path):
    file, mmdit = tmp_path / "packed.safetensors", network(2).bfloat16()
    save_fp8(mmdit, file)
    with torch.device("meta"):
        streamed = MMDiT(mmdit.config)
    load_weights(streamed, file, torch.bfloat16, streamed=True)
    block = list(mmdit.transformer_blocks[0].named_parameters())
    matrices = sum(p.numel() for name, p in block if p.ndim == 2)
    outside = sum(p.nbytes for name, p in mmdit.named_parameters() if "blocks" not in name)
    vectors = sum(p.nbytes for _, p in block if p.ndim == 1)
    estimate = training_bytes(streamed, 16, 4, 100)["base"]
    assert estimate == pytest.approx(outside + vectors + matrices, rel=1e-3)  # and some scales


def test_an_adapter_counts_with_its_moments_its_average_and_its_gradients():
    mmdit = network(1).to(torch.bfloat16)
    few, many = (training_bytes(mmdit, 1, 1, count) for count in (1, 10**6))
    assert many["adapter"] == 16 * 10**6 and many["between blocks"] == 4 * 10**6
    assert few["between blocks"] == 2 * 2 * 128  # the inputs of one block, image and text
