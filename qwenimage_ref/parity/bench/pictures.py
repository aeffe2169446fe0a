"""Rows of `qwenimage bench` on what conditions a picture: edits, control, regions.

Steps are those of one block, the rest of the transformer around it included, in float32.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F

from ...adapt.control import Applied, BlockwiseConfig, BlockwiseControlNet, Controlled
from ...adapt.regions import with_regions
from ...conditions import Branch
from ...controlnet import ControlNet, ControlNetConfig
from ...mmdit import Call, MMDiT
from ...vision import Vision
from ..reference import random_weights, reference_controlnet, reference_vision, run
from ..tolerances import within
from ..trace import difference
from .parts import Plan, Row, alternate, compare, noise, pairs_of

EDIT = 1 / 1.02  # smallest speed-up of an edit step over one of the same length without pictures
CONTROL = 1 / 1.05  # ratio of a blockwise step to a plain one with the products of its network
EQUAL = 1.0


def edit_rows(plan: Plan) -> Iterator[Row]:
    """A step with a clean picture beside one whose target has all the tokens"""
    mmdit, (_, rows, cols) = _network(plan), plan.grid
    long, both = [(1, 2 * rows, cols)], [plan.grid] * 2
    calls = [partial(mmdit, *_inputs(plan, grids)) for grids in (both, long)]
    what = f"step, {rows * cols} + {rows * cols} + {plan.text_tokens} tokens"
    yield Row(f"edit {what}", "s", *_seconds(calls, plan), EDIT)
    timed = _network(plan, zero_cond_t=True)
    calls = [partial(timed, *_inputs(plan, both)), calls[1]]
    yield Row(f"2511 {what}", "s", *_seconds(calls, plan))  # clean tokens have another time there
    # what would be saved at each step if places were turned into rotations once a picture
    calls = [partial(mmdit.rotations, both, plan.text_tokens), calls[1]]
    yield Row("edit step, rotations beside the whole", "s", *_seconds(calls, plan))


def vision_rows(plan: Plan) -> Iterator[Row]:
    """The vision tower, cut to a few of its blocks, on a square picture"""
    config, side = plan.vision, plan.read_side // plan.vision.patch_size
    width = 3 * config.temporal_patch_size * config.patch_size**2
    inputs = {"patches": noise(side * side, width), "grids": [(1, side, side)]}
    what = f"vision tower, {config.depth} blocks, {plan.read_side}x{plan.read_side}"
    pairs = _in_float32(pairs_of(Vision, config, reference_vision))
    yield from compare(what, pairs, inputs, plan.rounds, EQUAL, "vision")


def blockwise_rows(plan: Plan) -> Iterator[Row]:
    """A step under a blockwise network beside a plain step and the products of that network"""
    mmdit, call = _network(plan), Call(*_inputs(plan, [plan.grid]))
    with torch.device("meta"):
        empty = BlockwiseControlNet(BlockwiseConfig(1, plan.mmdit.inner_dim))
    net = random_weights(empty, 0)
    block, control = net.controlnet_blocks[0], call.img
    img = noise(1, call.img.shape[1], plan.mmdit.inner_dim).float()

    def controlled():
        return Controlled(mmdit, [Applied(net, control)], steps=1).many([call])[0]

    def plain_and_products():
        net.img_in(control)
        for layer in (block.input_proj, block.output_proj):
            F.linear(img, layer.weight, layer.bias)
        return mmdit(*call)

    seconds = _seconds([controlled, plain_and_products], plan)
    yield Row("blockwise step beside plain and products", "s", *seconds, CONTROL)


def controlnet_rows(plan: Plan) -> Iterator[Row]:
    """InstantX's control network, one block of it, beside diffusers'"""
    numbers = plan.mmdit.to_dict() | {"num_layers": 1}
    config = ControlNetConfig.from_dict(numbers | {"extra_condition_channels": 0})
    img, txt, sigma, (grid,) = _inputs(plan, [plan.grid])
    inputs = {"img": img, "control": img.flip(1), "txt": txt, "sigma": sigma, "grid": grid}
    pairs = _in_float32(pairs_of(ControlNet, config, reference_controlnet))
    (ours, theirs), *_ = pairs.values()
    calls = [partial(ours, **inputs), partial(run, theirs, inputs)]
    (a, b), (result, reference) = alternate(calls, plan.rounds)
    error = difference(result[0], reference[0])[1]
    yield Row("InstantX's network, one block", "s", a, b, EQUAL, error, within("controlnet"))


def regions_rows(plan: Plan) -> Iterator[Row]:
    """A step with three regions beside one of as many tokens without, and what their mask takes"""
    mmdit, (img, txt, sigma, grids) = _network(plan), _inputs(plan, [plan.grid])
    *texts, whole = txt.tensor_split(4, dim=1)
    third = torch.arange(img.shape[1]) % 3
    seen = third == torch.arange(3).unsqueeze(1)  # (3, I): each region has a third of the tokens
    build = partial(with_regions, Branch(whole), plan.grid, texts, seen)
    regional = partial(mmdit, *build().call(img, sigma, plan.grid))
    plain = partial(mmdit, img, txt, sigma, grids)
    yield Row("step with three regions beside one without", "s", *_seconds([regional, plain], plan))
    # taken once a picture, not at each step
    yield Row("mask of three regions beside a step", "s", *_seconds([build, plain], plan))


def _network(plan: Plan, **changes) -> MMDiT:
    with torch.device("meta"):
        empty = MMDiT(replace(plan.mmdit, **changes))
    return random_weights(empty, 0)


def _inputs(plan: Plan, grids: list) -> tuple:
    tokens = sum(rows * cols for _, rows, cols in grids)
    img = noise(1, tokens, plan.mmdit.in_channels).float()
    txt = noise(1, plan.text_tokens, plan.mmdit.joint_attention_dim).float()
    return img, txt, torch.tensor([0.6875]), grids


def _seconds(calls: list, plan: Plan) -> list[float]:
    return alternate(calls, plan.rounds)[0]


def _in_float32(pairs: dict) -> dict:
    return {torch.float32: pairs[torch.float32]}
