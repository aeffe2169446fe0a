"""`qwenimage paint --control`: what the pipeline paints, and one line for what cannot be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.painting_over import POCKET, POSTER, WISH, mask_of
from PIL import Image
from safetensors.torch import save_file

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.adapt.control import BlockwiseConfig, BlockwiseControlNet
from qwenimage_ref.adapt.control_files import load
from qwenimage_ref.controlled import ControlledQwenImage
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.tasks.control import Control

MASK = mask_of((70, 30, 120, 100))


def networks(config):
    """One of each kind, for the transformer of this config."""
    numbers = config.num_layers, config.inner_dim
    copy = ControlNetConfig.from_dict(config.to_dict() | {"num_layers": 2})
    return {
        "canny": BlockwiseControlNet(BlockwiseConfig(*numbers)),
        "inpaint": BlockwiseControlNet(BlockwiseConfig(*numbers, extra_condition_channels=4)),
        "union": ControlNet(copy),
        "wide": BlockwiseControlNet(BlockwiseConfig(numbers[0], 32)),
        "shallow": BlockwiseControlNet(BlockwiseConfig(numbers[0] - 1, numbers[1])),
        "deep": ControlNet(replace(copy, num_layers=numbers[0] + 1)),
        "texts": ControlNet(replace(copy, joint_attention_dim=64)),
    }


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module")
def files(pipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("control")
    for seed, (name, net) in enumerate(networks(pipe.transformer.config).items()):
        state = random_weights(net, seed).state_dict()
        # an eighth: pictures of random networks stay finite
        save_file(
            {key: tensor / 8 for key, tensor in state.items()}, folder / f"{name}.safetensors"
        )
    save_file({"lora_A": torch.ones(1)}, folder / "lora.safetensors")
    POSTER.save(folder / "poster.png")
    POSTER.resize((128, 64)).save(folder / "flat.png")
    POSTER.resize((176, 96)).save(folder / "wide.png")
    MASK.save(folder / "mask.png")
    (folder / "text.png").write_text("no picture")
    return folder


def paint(files, capsys, *words):
    """Exit status, what stands on stderr without progress bars, and the picture's file."""
    out = files / "out.png"
    words = [str(word).replace("@@", f"{files}/") for word in words]
    status = cli.main(["paint", WISH, *words, "--steps", "2", "--size", "128x128", "-o", str(out)])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    return status, [line for line in lines if line and not line.startswith("painting:")], out


@pytest.mark.parametrize(
    "words, controls, options",
    [
        (["@@union.safetensors=@@poster.png"], [("union", {})], {}),
        (
            ["@@canny.safetensors=@@poster.png@0.5,0,0.6"],
            [("canny", {"scale": 0.5, "end": 0.6})],
            {},
        ),
        (
            ["@@canny.safetensors=@@poster.png", "@@inpaint.safetensors=@@poster.png@0.8"],
            [("canny", {}), ("inpaint", {"scale": 0.8, "mask": MASK})],
            {"--mask": "@@mask.png"},
        ),
    ],
    ids=["union", "scale and window", "two, one with a mask"],
)
def test_the_command_paints_what_the_pipeline_paints(files, pipe, capsys, words, controls, options):
    arguments = [part for word in words for part in ("--control", word)]
    arguments += [part for pair in options.items() for part in pair]
    status, notes, out = paint(files, capsys, *arguments)
    assert (status, notes) == (0, [])
    nets = [load(files / f"{name}.safetensors", pipe.transformer) for name, _ in controls]
    controls = [Control(net, POSTER, **more) for net, (_, more) in zip(nets, controls)]
    expected = ControlledQwenImage(pipe, controls)(
        WISH, " ", num_inference_steps=2, seed=0, height=128, width=128
    )
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected[0]))


def test_without_a_size_the_control_picture_has_its_own(files, capsys):
    words = ["--control", f"{files}/canny.safetensors={files}/wide.png"]
    out = files / "wide_out.png"
    assert cli.main(["paint", WISH, *words, "--steps", "2", "-o", str(out)]) == 0
    assert Image.open(out).size == (176, 96)
    assert "stretched" not in capsys.readouterr().err


def test_a_streamed_picture_under_control_is_that_of_bf16(files, capsys):
    pipe = QwenImage.from_pretrained(POCKET, dtype=torch.bfloat16)
    words = "--control", "@@canny.safetensors=@@poster.png", "--stream"
    status, _, out = paint(files, capsys, *words)
    net = load(files / "canny.safetensors", pipe.transformer, torch.bfloat16)
    expected = ControlledQwenImage(pipe, [Control(net, POSTER)])(
        WISH, " ", num_inference_steps=2, seed=0, height=128, width=128
    )
    assert status == 0
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(expected[0]))


@pytest.mark.parametrize(
    "words, line",
    [
        (["@@canny.safetensors"], "--control must be NET=PICTURE"),
        (["=@@poster.png"], "--control must be NET=PICTURE"),
        (["@@canny.safetensors=@@poster.png@nan"], "finite SCALE and 0 <= START < END <= 1"),
        (["@@canny.safetensors=@@poster.png@1,0.9,0.1"], "finite SCALE and 0 <= START < END <= 1"),
        (["@@canny.safetensors=@@poster.png@1,0,1,1"], "finite SCALE and 0 <= START < END <= 1"),
        (["@@canny.safetensors=@@poster.png@strong"], "finite SCALE and 0 <= START < END <= 1"),
        (["@@canny.safetensors=@@none.png"], "--control must be a file that exists, got"),
        (["@@canny.safetensors=@@text.png"], "text.png cannot be used as a picture"),
        (["@@canny.safetensors=@@flat.png"], "proportions of the target, 128x128, got 128x64"),
        (["@@lora.safetensors=@@poster.png"], "must hold a control network of Qwen-Image"),
        (["@@wide.safetensors=@@poster.png"], "wide, got a blockwise control network"),
        (["@@shallow.safetensors=@@poster.png"], "got a blockwise control network of 7 blocks"),
        (["@@deep.safetensors=@@poster.png"], "got InstantX's control network of 9 blocks"),
        (["@@texts.safetensors=@@poster.png"], "text states that are 192 wide, got 64"),
        (["scribble=@@poster.png"], "or one of canny, depth, inpaint, union, inpainting, got"),
        (["@@inpaint.safetensors=@@poster.png"], "a mask must be given to an inpainting"),
        (
            ["@@canny.safetensors=@@poster.png", "--mask", "@@mask.png"],
            "--mask must go with --image, or with a control network for inpainting",
        ),
    ],
)
def test_what_cannot_be_painted_is_one_line_and_status_2(files, capsys, words, line):
    status, notes, _ = paint(files, capsys, "--control", *words)
    assert status == 2
    assert len(notes) == 1 and line in notes[0]


@pytest.mark.parametrize(
    "name, what",
    [
        ("canny", "a blockwise control network for Qwen-Image"),
        ("union", "InstantX's control network for Qwen-Image"),
    ],
)
def test_info_says_what_a_control_file_is_and_how_it_is_used(files, capsys, name, what):
    assert cli.main(["info", str(files / f"{name}.safetensors")]) == 0
    output = capsys.readouterr().out
    assert what in output and "qwenimage paint --control FILE=PICTURE" in output


def test_a_control_file_is_no_transformer(files, capsys):
    status, notes, _ = paint(files, capsys, "--transformer", "@@union.safetensors")
    assert status == 2 and "InstantX's control network for Qwen-Image" in notes[0]
