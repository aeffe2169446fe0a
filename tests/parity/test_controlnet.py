"""InstantX's control network beside diffusers': alone, on several pictures, in the MMDiT."""

from dataclasses import replace

import pytest
import torch
from diffusers import QwenImageMultiControlNetModel

from qwenimage_ref.adapt.control import Applied, Controlled
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig, residual_of
from qwenimage_ref.mmdit import Call, MMDiT
from qwenimage_ref.parity.grade import cases
from qwenimage_ref.parity.reference import (
    copy_weights,
    random_weights,
    reference_controlnet,
    reference_mmdit,
)
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import assert_agreement, difference

noise = cases.noise
GRID = (1, 5, 7)
MMDIT = replace(cases.MMDIT, num_layers=7)
UNION = ControlNetConfig.from_dict(MMDIT.to_dict() | {"num_layers": 3})
INPAINTING = replace(UNION, extra_condition_channels=4)
OFFICIAL = ControlNetConfig.official()


def network(config, kind=ControlNet, seed=1):
    with torch.device("meta"):
        ours = kind(config)
    return random_weights(ours, seed)


def pair(config):
    ours = network(config)
    return ours, copy_weights(ours, reference_controlnet(config))


def inputs(config, batch=1, text_length=7, **more):
    tokens = GRID[1] * GRID[2]
    return dict(
        img=noise(batch, tokens, config.in_channels),
        control=noise(batch, tokens, config.control_channels, seed=2),
        txt=noise(batch, text_length, config.joint_attention_dim, seed=1),
        sigma=torch.linspace(0.37, 0.91, batch),
        grid=GRID,
        **more,
    )


# -- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [UNION, INPAINTING], ids=["union", "inpainting"])
def test_residuals_agree_with_diffusers(config):
    assert_agreement(*pair(config), inputs(config, batch=2), "controlnet")


def test_residuals_for_padded_texts_agree_with_diffusers():
    mask = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1, 1]]).bool()
    assert_agreement(*pair(UNION), inputs(UNION, batch=2, txt_mask=mask), "controlnet")


def test_one_layer_of_official_width_agrees_with_diffusers():
    config = replace(OFFICIAL, num_layers=1, extra_condition_channels=4)
    assert_agreement(*pair(config), inputs(config), "controlnet")


@pytest.mark.parametrize(
    "config, parameters",
    [
        (OFFICIAL, 1_768_003_584),
        (replace(OFFICIAL, num_layers=6, extra_condition_channels=4), 2_117_287_424),
    ],
    ids=["union", "inpainting"],
)
def test_the_official_networks_have_the_published_numbers_of_parameters(config, parameters):
    with torch.device("meta"):
        ours = ControlNet(config)
    assert sum(p.numel() for p in ours.parameters()) == parameters
    assert list(ours.state_dict()) == list(reference_controlnet(config).state_dict())


# -- inside the MMDiT -----------------------------------------------------------------------------


@pytest.mark.parametrize("layers, interval", [(5, 12), (6, 10), (7, 9), (60, 1), (1, 60)])
def test_every_block_of_sixty_gets_a_residual(layers, interval):
    served = [residual_of(block, 60, list(range(layers))) for block in range(60)]
    assert served == [block // interval for block in range(60)]


def call(config, batch=1, text_length=7, seed=0):
    tokens = GRID[1] * GRID[2]
    txt = noise(batch, text_length, config.joint_attention_dim, seed=seed + 1)
    img = noise(batch, tokens, config.in_channels, seed=seed)
    return Call(img, txt, torch.linspace(0.4, 0.8, batch), [GRID])


@torch.no_grad()
def theirs_with(mmdit, residuals, call):
    reference = copy_weights(mmdit, reference_mmdit(MMDIT))
    return reference(
        hidden_states=call.img,
        encoder_hidden_states=call.txt,
        timestep=call.sigma,
        img_shapes=[call.grids] * len(call.img),
        controlnet_block_samples=residuals,
        return_dict=False,
    )[0]


@torch.no_grad()
def test_the_transformer_with_several_control_pictures_agrees_with_diffusers():
    mmdit, (net, their_net) = network(MMDIT, MMDiT), pair(UNION)
    pictures, scales = [noise(2, 35, 20, seed=n) for n in (5, 6)], (0.7, 1.3)
    positive, negative = call(MMDIT, batch=2), call(MMDIT, batch=2, text_length=3, seed=9)
    applied = [Applied(net, picture, scale) for picture, scale in zip(pictures, scales)]
    ours = Controlled(mmdit, applied, steps=2).many([positive, negative._replace(img=positive.img)])
    residuals = QwenImageMultiControlNetModel([their_net])(
        hidden_states=positive.img,
        controlnet_cond=pictures,
        conditioning_scale=scales,
        encoder_hidden_states=positive.txt,
        timestep=positive.sigma,
        img_shapes=[positive.grids] * 2,
        return_dict=False,
    )
    for velocity, each in zip(ours, (positive, negative._replace(img=positive.img))):
        apart = difference(velocity, theirs_with(mmdit, residuals, each))[1]
        assert apart <= within("controlnet")


@torch.no_grad()
def test_a_new_network_changes_no_bit():
    mmdit, asked = network(MMDIT, MMDiT), call(MMDIT)
    new = ControlNet(UNION)
    (ours,) = Controlled(mmdit, [Applied(new, noise(1, 35, 20, seed=4))], steps=2).many([asked])
    assert torch.equal(ours, mmdit.many([asked])[0])
