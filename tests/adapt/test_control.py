"""Blockwise control networks beside a plain loop; windows, scales, several at once, zero output."""

import math
from dataclasses import replace

import pytest
import torch
from helpers import blockwise_case
from helpers.nets import SMALL, model
from safetensors.torch import load_file

from qwenimage_ref.adapt.control import (
    Applied,
    BlockwiseBlock,
    BlockwiseConfig,
    BlockwiseControlNet,
    Controlled,
)
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig
from qwenimage_ref.mmdit import Call
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import difference

CONFIG = BlockwiseConfig(num_layers=SMALL.num_layers, inner_dim=SMALL.inner_dim)
GRID, COND = (1, 3, 4), (1, 2, 3)


def blockwise(seed=5, config=CONFIG) -> BlockwiseControlNet:
    return random_weights(BlockwiseControlNet(config), seed)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def request(grids=(GRID,), text_length=5, seed=1) -> Call:
    tokens = sum(math.prod(grid) for grid in grids)
    txt = noise(2, text_length, SMALL.joint_attention_dim, seed=seed)
    return Call(noise(2, tokens, 64), txt, torch.tensor([0.3, 0.8]), list(grids))


@torch.no_grad()
def controlled(mmdit, applied, *calls, step=0, steps=4):
    run = Controlled(mmdit, applied, steps)
    run.step = step
    return run.many(list(calls))


def rms(x, weight):
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def exact_gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


@torch.no_grad()
def plain_loop(mmdit, applied, call):
    """The same without hooks: every block by hand, and what is added behind it written out."""
    img, txt, shared = mmdit.embed(call.img, call.txt, call.sigma, call.grids)
    target = math.prod(call.grids[0])
    for block, (img_block, *_) in enumerate(zip(mmdit.transformer_blocks)):
        img, txt = img_block(img, txt, *shared)
        h, total = img[:, :target].clone(), 0
        for each in applied:
            y = each.tokens @ each.net.img_in.weight.T + each.net.img_in.bias
            part = each.net.controlnet_blocks[block]
            inside = rms(h, part.x_rms.weight) + rms(y, part.y_rms.weight)
            inside = exact_gelu(inside @ part.input_proj.weight.T + part.input_proj.bias)
            total = total + each.scale * (
                inside @ part.output_proj.weight.T + part.output_proj.bias
            )
        img = torch.cat([h + total, img[:, target:]], dim=1)
    return mmdit.velocity(img[:, :target], shared)


# -- what is added --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grids", [(GRID,), (GRID, COND)], ids=["target", "and a condition picture"]
)
@pytest.mark.parametrize("count", [1, 3])
def test_blockwise_networks_add_what_a_plain_loop_adds(grids, count):
    mmdit, call = model(), request(grids)
    applied = [
        Applied(blockwise(seed=5 + n), noise(2, 12, 64, seed=20 + n), scale=0.5 + n)
        for n in range(count)
    ]
    (velocity,) = controlled(mmdit, applied, call)
    assert difference(velocity, plain_loop(mmdit, applied, call))[1] <= within("mmdit")


def test_the_gelu_is_the_exact_one():
    block = random_weights(BlockwiseBlock(16), 0)
    block.output_proj.weight.data = torch.eye(16)
    block.output_proj.bias.data.zero_()
    img, control = noise(1, 9, 16), noise(1, 9, 16, seed=1)
    inside = block.input_proj(block.x_rms(img) + block.y_rms(control))
    assert torch.allclose(block(img, control), exact_gelu(inside), atol=1e-6)
    assert not torch.allclose(
        block(img, control), torch.nn.functional.gelu(inside, approximate="tanh"), atol=1e-5
    )


def test_a_new_network_changes_no_bit_and_any_scale_of_it_none():
    mmdit, call = model(), request()
    new = BlockwiseControlNet(CONFIG)
    for scale in (1.0, -3.0, 1e6):
        (velocity,) = controlled(mmdit, [Applied(new, noise(2, 12, 64), scale)], call)
        assert torch.equal(velocity, mmdit.many([call])[0])


def test_the_first_gradient_reaches_the_output_layers_alone():
    mmdit, new = model().requires_grad_(False), BlockwiseControlNet(CONFIG)
    run = Controlled(mmdit, [Applied(new, noise(2, 12, 64))], steps=1)
    run.many([request()])[0].pow(2).sum().backward()
    moved = {name for name, p in new.named_parameters() if p.grad.abs().max() > 0}
    assert moved == {
        f"controlnet_blocks.{i}.output_proj.{part}" for i in (0, 1) for part in ("weight", "bias")
    }


def test_both_branches_of_guidance_are_controlled_from_the_positive_text():
    mmdit, config = model(), ControlNetConfig.from_dict(SMALL.to_dict() | {"num_layers": 1})
    net = random_weights(ControlNet(config), 7)
    applied = [Applied(net, noise(2, 12, 64, seed=3))]
    positive, negative = request(), request(text_length=2, seed=8)
    _, second = controlled(mmdit, applied, positive, negative)
    residual = net(positive.img, applied[0].tokens, positive.txt, positive.sigma, GRID)[0]
    with torch.no_grad():
        (expected,) = mmdit.many([negative._replace(after_block=lambda i, img: img + residual)])
    assert torch.equal(second, expected)


def test_the_target_alone_is_shown_to_a_network_beside_condition_pictures():
    mmdit, config = model(), ControlNetConfig.from_dict(SMALL.to_dict() | {"num_layers": 2})
    net = random_weights(ControlNet(config), 7)
    seen = []
    net.img_in.register_forward_hook(lambda module, args, out: seen.append(args[0].shape[1]))
    controlled(mmdit, [Applied(net, noise(2, 12, 64, seed=3))], request((GRID, COND)))
    assert seen == [12]


def assert_diffsynths_velocities(runs: list[str]) -> None:
    """In every step of these runs."""
    theirs = load_file(blockwise_case.FILE)
    ours = blockwise_case.ours(runs)
    assert ours.keys() == {name for name in theirs if name.rsplit(" ", 1)[0] in runs}
    for name, velocity in ours.items():
        assert difference(velocity, theirs[name])[1] <= within("stack"), name


def test_a_network_for_edges_adds_what_diffsynth_adds():
    assert_diffsynths_velocities(["edges"])


def test_a_network_for_inpainting_adds_what_diffsynth_adds():
    assert_diffsynths_velocities(["inpaint"])


def test_two_networks_and_their_windows_add_what_diffsynth_adds():
    assert_diffsynths_velocities(["both"])


def test_no_run_of_diffsynth_is_left_out():
    names = {name.rsplit(" ", 1)[0] for name in load_file(blockwise_case.FILE)}
    assert names == set(blockwise_case.RUNS) == {"edges", "inpaint", "both"}


# -- windows --------------------------------------------------------------------------------------


def union():
    return ControlNet(ControlNetConfig.from_dict(SMALL.to_dict() | {"num_layers": 1}))


@pytest.mark.parametrize(
    "kind, start, end, steps, acting",
    [
        (union, 0.0, 1.0, 4, [0, 1, 2, 3]),
        (union, 0.0, 0.5, 4, [0, 1]),
        (union, 0.3, 0.9, 4, [2]),
        (union, 0.5, 0.5, 4, []),
        (blockwise, 0.0, 1.0, 4, [0, 1, 2, 3]),
        (blockwise, 0.0, 0.5, 4, [0, 1]),
        (blockwise, 1 / 3, 2 / 3, 4, [1, 2]),
        (blockwise, 0.5, 1.0, 5, [2, 3, 4]),
        (blockwise, 0.0, 1.0, 1, [0]),
    ],
)
def test_a_network_acts_inside_its_window_as_its_upstream_counts(kind, start, end, steps, acting):
    applied = Applied(kind(), noise(1, 12, 64), start=start, end=end)
    assert [step for step in range(steps) if applied.acts(step, steps)] == acting


def test_outside_of_all_windows_no_bit_changes():
    mmdit, call = model(), request()
    applied = [Applied(blockwise(), noise(2, 12, 64), end=0.5)]
    assert torch.equal(controlled(mmdit, applied, call, step=3)[0], mmdit.many([call])[0])
    assert not torch.equal(controlled(mmdit, applied, call, step=0)[0], mmdit.many([call])[0])


def test_steps_are_counted_from_call_to_call():
    mmdit, call = model(), request()
    run = Controlled(mmdit, [Applied(blockwise(), noise(2, 12, 64), start=0.6)], steps=2)
    with torch.no_grad():
        first, second = run.many([call]), run.many([call])
    assert torch.equal(first[0], mmdit.many([call])[0])
    assert not torch.equal(second[0], first[0])


def test_a_mask_is_four_more_numbers_a_token():
    with_mask = replace(CONFIG, extra_condition_channels=4)
    assert blockwise(config=with_mask)(noise(1, 12, 68)).shape == (1, 12, SMALL.inner_dim)
