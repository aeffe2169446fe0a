"""Pictures under control: diffusers' pixels, and what composes with the other tasks."""

import numpy as np
import pytest
import torch
from diffusers import (
    QwenImageControlNetInpaintPipeline,
    QwenImageControlNetPipeline,
    QwenImageMultiControlNetModel,
)
from helpers.painting_over import (
    POCKET,
    POSTER,
    WISH,
    assert_the_same_pictures,
    generators,
    mask_of,
    reference,
)
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt.control import BlockwiseConfig, BlockwiseControlNet
from qwenimage_ref.controlled import ControlledQwenImage
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig
from qwenimage_ref.parity.reference import copy_weights, random_weights, reference_controlnet
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.parity.trace import difference
from qwenimage_ref.tasks.control import Control
from qwenimage_ref.tasks.image_to_image import clean_and_noise
from qwenimage_ref.tasks.inpaint import latent_mask

EDGES = Image.fromarray(255 - np.asarray(POSTER))
MASK = mask_of((70, 30, 120, 100))


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


def gentle(network, seed):
    """Random weights that add about a tenth of the stream: pictures stay pictures."""
    random_weights(network, seed)
    outputs = network.controlnet_blocks
    for layer in (
        each if isinstance(each, torch.nn.Linear) else each.output_proj for each in outputs
    ):
        layer.weight.data.mul_(0.1)
        layer.bias.data.mul_(0.1)
    return network


def union(pipe, seed=11, **numbers):
    known = pipe.transformer.config.to_dict() | {"num_layers": 3} | numbers
    return gentle(ControlNet(ControlNetConfig.from_dict(known)), seed)


def blockwise(pipe, seed=12, **numbers):
    config = pipe.transformer.config
    return gentle(
        BlockwiseControlNet(BlockwiseConfig(config.num_layers, config.inner_dim, **numbers)), seed
    )


def their_pipeline(net, kind=QwenImageControlNetPipeline, several=False):
    loaded = reference(POCKET)
    network = copy_weights(net, reference_controlnet(net.config))
    network = QwenImageMultiControlNetModel([network]) if several else network
    parts = {
        k: v
        for k, v in loaded.components.items()
        if k in ("scheduler", "vae", "text_encoder", "tokenizer", "transformer")
    }
    painter = kind(**parts, controlnet=network)
    painter.set_progress_bar_config(disable=True)
    return painter


# -- diffusers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [(0.0, 1.0), (0.2, 0.7)], ids=["all steps", "some"])
def test_diffusers_paints_the_same_under_one_picture(pipe, window):
    net = union(pipe)
    start, end = window
    ours = ControlledQwenImage(pipe, [Control(net, EDGES, 0.8, start, end)])
    options = {"num_inference_steps": 4, "height": 128, "width": 128}
    theirs = their_pipeline(net)(
        WISH, negative_prompt=" ", control_image=EDGES, controlnet_conditioning_scale=0.8,
        control_guidance_start=start, control_guidance_end=end, generator=generators(3), **options,
    )  # fmt: skip
    assert_the_same_pictures(ours(WISH, " ", seed=3, **options), theirs.images)


@pytest.mark.parametrize("seed", [5, [5, 6]], ids=["one seed", "a seed each"])
def test_a_batch_under_two_pictures_is_that_of_diffusers(pipe, seed):
    net, prompts = union(pipe), [WISH, "a red ring"]
    pictures, scales = [EDGES, EDGES.rotate(90)], [0.9, 0.4]
    controls = [Control(net, picture, scale) for picture, scale in zip(pictures, scales)]
    options = {"num_inference_steps": 3, "height": 128, "width": 128}
    theirs = their_pipeline(net, several=True)(
        prompts, negative_prompt=[" "] * 2, control_image=pictures,
        controlnet_conditioning_scale=scales, generator=generators(seed), **options,
    )  # fmt: skip
    ours = ControlledQwenImage(pipe, controls)(prompts, " ", seed=seed, **options)
    assert_the_same_pictures(ours, theirs.images)


def test_diffusers_fills_the_same_hole_if_its_global_generator_has_the_seed(pipe):
    net = union(pipe, extra_condition_channels=4)
    ours = ControlledQwenImage(pipe, [Control(net, POSTER, mask=MASK)])
    options = {"num_inference_steps": 4, "height": 128, "width": 128}
    painter = their_pipeline(net, QwenImageControlNetInpaintPipeline)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        theirs = painter(
            WISH, negative_prompt=" ", control_image=POSTER, control_mask=MASK,
            generator=generators(3), **options,
        )  # fmt: skip
    assert_the_same_pictures(ours(WISH, " ", seed=3, **options), theirs.images)


# -- with everything else -------------------------------------------------------------------------


SHORT = {"num_inference_steps": 2, "seed": 4, "height": 128, "width": 128}


def pixels(pictures):
    return np.stack([np.asarray(picture, int) for picture in pictures])


def test_new_networks_of_all_kinds_paint_the_plain_picture_where_noise_is_drawn_alike(pipe):
    config = pipe.transformer.config
    nets = [
        BlockwiseControlNet(BlockwiseConfig(config.num_layers, config.inner_dim)),
        BlockwiseControlNet(BlockwiseConfig(config.num_layers, config.inner_dim, 64, 4)),
        ControlNet(
            ControlNetConfig.from_dict(
                config.to_dict() | {"num_layers": 2, "extra_condition_channels": 4}
            )
        ),
    ]
    masks = [None, MASK, MASK]
    controls = [Control(net, POSTER, mask=mask) for net, mask in zip(nets, masks)]
    ours = ControlledQwenImage(pipe, controls)(WISH, " ", **SHORT)
    assert np.array_equal(pixels(ours), pixels(pipe(WISH, " ", **SHORT)))


@pytest.mark.parametrize(
    "task",
    [{}, {"image": POSTER, "strength": 0.5}, {"image": POSTER, "mask_image": MASK}],
    ids=["text", "image", "inpaint"],
)
def test_a_control_acts_in_every_task(pipe, task):
    controlled = ControlledQwenImage(pipe, [Control(blockwise(pipe), EDGES)])
    ours = controlled(WISH, " ", **task, **SHORT)
    assert not np.array_equal(pixels(ours), pixels(pipe(WISH, " ", **task, **SHORT)))
    again = controlled(WISH, " ", **task, **SHORT)
    assert np.array_equal(pixels(ours), pixels(again))


def test_inpainting_at_full_strength_is_diffsynths_hard_blend(pipe):
    """Whose velocity outside of the mask leads straight to the picture."""
    net, seen = blockwise(pipe, extra_condition_channels=4), []
    ControlledQwenImage(pipe, [Control(net, POSTER, mask=MASK)])(
        WISH, image=POSTER, mask_image=MASK, strength=1.0, true_cfg_scale=1.0,
        callback=lambda step, *numbers: seen.append(numbers), **SHORT | {"num_inference_steps": 4},
    )  # fmt: skip
    clean, _ = clean_and_noise(pipe, [POSTER], (1, 128, 128), SHORT["seed"])
    mask = latent_mask(MASK, 8)
    for (sigma, x, velocity), (sigma_next, x_next, _) in zip(seen, seen[1:]):
        blended = velocity * mask + (x - clean) / sigma * (1 - mask)
        expected = x + (sigma_next - sigma) * blended
        assert difference(x_next, expected)[1] <= within("guided step")


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "numbers, words",
    [
        ({"scale": float("nan")}, "scale .* finite number, got nan"),
        ({"scale": "strong"}, "scale .* finite number, got strong"),
        ({"start": 0.8, "end": 0.2}, "0 <= start < end <= 1, got 0.8 to 0.2"),
        ({"end": float("nan")}, "0 <= start < end <= 1, got 0.0 to nan"),
        ({"end": 1.5}, "got 0.0 to 1.5"),
        ({"mask": MASK}, "a mask must go with an inpainting"),
        ({"picture": "edges.png"}, "control picture must be a PIL picture, got str"),
    ],
)
def test_a_control_with_a_wrong_number_is_one_line(pipe, numbers, words):
    with pytest.raises(ValueError, match=words) as error:
        Control(blockwise(pipe), **{"picture": EDGES} | numbers)
    assert "\n" not in str(error.value)


def test_an_inpainting_network_wants_a_mask_of_the_pictures_size(pipe):
    net = blockwise(pipe, extra_condition_channels=4)
    with pytest.raises(ValueError, match="a mask must be given to an inpainting"):
        Control(net, EDGES)
    with pytest.raises(ValueError, match="size of its picture, 128x128, got 64x64"):
        Control(net, EDGES, mask=MASK.resize((64, 64)))


def test_a_network_of_another_width_or_depth_is_one_line(pipe):
    config = pipe.transformer.config
    deeper = BlockwiseConfig(config.num_layers + 1, config.inner_dim)
    wider = BlockwiseConfig(config.num_layers, 2 * config.inner_dim)
    for numbers in (deeper, wider):
        words = f"made for a transformer of {config.num_layers} blocks that is {config.inner_dim}"
        with pytest.raises(ValueError, match=words):
            ControlledQwenImage(pipe, [Control(BlockwiseControlNet(numbers), EDGES)])


@pytest.mark.parametrize("size, fits", [((256, 256), True), ((250, 262), True), ((64, 128), False)])
def test_a_picture_of_other_proportions_than_the_target_is_one_line(pipe, size, fits):
    controlled = ControlledQwenImage(pipe, [Control(blockwise(pipe), EDGES.resize(size))])
    if fits:
        assert controlled(WISH, true_cfg_scale=1, **SHORT)[0].size == (128, 128)
        return
    with pytest.raises(ValueError, match="proportions of the target, 128x128, got 64x128"):
        controlled(WISH, true_cfg_scale=1, **SHORT)
