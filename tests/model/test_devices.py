"""Every path runs on another device, and nothing on the way is left on the CPU.

No GPU is needed: "meta" takes its place, a device whose tensors have shapes and no numbers. A mode
of torch looks at every operation and refuses what a GPU would refuse.
"""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from qwenimage_ref import QwenImage, sampler
from qwenimage_ref.config import (
    MMDiTConfig,
    SchedulerConfig,
    VAEConfig,
    VisionConfig,
)
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.grade.cases import TEXT
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

POCKET = Path(__file__).parents[2] / "data" / "pocket"
FAR = torch.device("meta")
aten = torch.ops.aten


class OneDevice(TorchDispatchMode):
    """Refuses an operation on tensors of two devices, as CUDA does; numbers may come from anywhere.

    Where Python asks "meta" for a number the answer is one, and what is fetched from it is zeros.
    """

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors if x.ndim}
        if operation is aten._local_scalar_dense.default and tensors[0].is_meta:
            return 1
        if operation is aten._to_copy.default and kwargs.get("device") == torch.device("cpu"):
            return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        if operation not in (aten._to_copy.default, aten.copy_.default) and len(devices) > 1:
            raise AssertionError(f"{operation} of tensors on {sorted(devices)}")
        return operation(*args, **kwargs)


@pytest.fixture(autouse=True)
def one_device():
    with OneDevice(), torch.no_grad():
        yield


def far(kind, config):
    with FAR:
        return kind(config)


def zeros(*shape, **more):
    return torch.zeros(shape, device=FAR, **more)


# -- the pipeline ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET, device=FAR)


def test_a_prompt_becomes_a_picture_on_another_device(pipe):
    pictures = pipe("a red circle", negative_prompt=" ", num_inference_steps=2, height=32, width=48)
    assert [picture.size for picture in pictures] == [(48, 32)]


def test_away_from_the_cpu_networks_compute_in_bf16_unless_told_otherwise(pipe):
    assert pipe.dtype == torch.bfloat16 and pipe.device == FAR
    assert QwenImage.from_pretrained(POCKET, dtype=torch.float32, device=FAR).dtype == torch.float32


@pytest.mark.parametrize("seed", [3, [1, 2]])
def test_noise_is_moved_to_the_device(pipe, seed):
    assert pipe.noise(2, 32, 48, seed).device == FAR


# -- the networks ---------------------------------------------------------------------------------

SMALL = MMDiTConfig(
    num_layers=2,
    num_attention_heads=3,
    attention_head_dim=24,
    joint_attention_dim=40,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 8, 12),
)


@pytest.mark.parametrize(
    "flags, grids",
    [
        ({}, [(1, 5, 7)]),
        ({}, [(1, 5, 7), (1, 3, 8), (1, 9, 2)]),
        ({"zero_cond_t": True}, [(1, 5, 7), (1, 3, 8)]),
        ({"use_layer3d_rope": True, "use_additional_t_cond": True}, [(4, 3, 2), (1, 3, 2)]),
    ],
    ids=["one picture", "condition pictures", "time zero", "layers"],
)
@pytest.mark.parametrize("padded", [False, True])
def test_the_transformer_runs_on_another_device(flags, grids, padded):
    network = far(MMDiT, replace(SMALL, **flags))
    image_tokens = sum(math.prod(grid) for grid in grids)
    mask = zeros(2, 7, dtype=torch.bool) if padded else None
    velocity = network(zeros(2, image_tokens, 20), zeros(2, 7, 40), zeros(2), grids, mask)
    assert velocity.device == FAR and velocity.shape == (2, math.prod(grids[0]), 20)


def test_a_hook_after_each_block_sees_the_target_on_its_device():
    seen = []

    def hook(i, img):
        seen.append(img.device)
        return img

    far(MMDiT, SMALL)(zeros(1, 6, 20), zeros(1, 3, 40), zeros(1), [(1, 2, 3)], after_block=hook)
    assert seen == [FAR, FAR]


def test_the_text_encoder_runs_on_another_device_with_padding_and_without():
    ids = zeros(2, 9, dtype=torch.long)
    mask = zeros(2, 9, dtype=torch.bool)
    network = far(TextEncoder, TEXT)
    assert network(ids).device == network(ids, mask).device == FAR


def test_the_text_encoder_takes_positions_and_the_states_of_a_picture_on_another_device():
    ids, positions = zeros(1, 9, dtype=torch.long), zeros(3, 1, 9, dtype=torch.long)
    states = far(TextEncoder, TEXT)(ids, positions=positions, image_states=zeros(4, 48))
    assert states.device == FAR


def test_the_vision_tower_runs_on_another_device():
    config = VisionConfig(
        depth=2,
        hidden_size=32,
        num_heads=2,
        intermediate_size=40,
        out_hidden_size=48,
        fullatt_block_indexes=(1,),
    )
    tokens = far(Vision, config)(zeros(60 + 16, 1176), [(1, 6, 10), (1, 4, 4)])
    assert tokens.device == FAR and tokens.shape == (19, 48)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_vae_runs_on_another_device_both_ways(dtype):
    vae = far(VAE, VAEConfig(base_dim=8)).to(dtype)
    mean, logvar = vae.encode(zeros(1, 3, 16, 24, dtype=dtype))
    picture = vae.decode(vae.denormalize(vae.normalize(mean)))
    assert mean.device == logvar.device == picture.device == FAR
    assert picture.dtype == dtype and picture.shape == (1, 3, 16, 24)


# -- the sampler ----------------------------------------------------------------------------------


def test_a_guided_step_stays_on_its_device_and_in_its_type():
    levels = sampler.sigmas(4, 6, SchedulerConfig.official())
    x = sampler.pack(zeros(1, 16, 4, 6, dtype=torch.bfloat16))
    velocity = sampler.guide(x, x, 4.0)
    moved = sampler.euler_step(x, velocity, levels[0].to(FAR), levels[1].to(FAR))
    latents = sampler.unpack(moved, 2, 3)
    assert latents.device == FAR and latents.dtype == torch.bfloat16


# -- the test itself ------------------------------------------------------------------------------


def test_a_tensor_that_was_left_on_the_cpu_is_noticed(monkeypatch):
    turns = MMDiT.rotations
    monkeypatch.setattr(
        MMDiT, "rotations", lambda self, grids, length, *_: turns(self, grids, length)
    )
    with pytest.raises(AssertionError, match=r"aten.mul.*\['cpu', 'meta'\]"):
        far(MMDiT, SMALL)(zeros(1, 6, 20), zeros(1, 3, 40), zeros(1), [(1, 2, 3)])


def test_a_network_that_was_left_on_the_cpu_is_noticed():
    with pytest.raises(AssertionError, match="aten.(add)?mm"):
        torch.nn.Linear(20, 30)(zeros(1, 6, 20))
