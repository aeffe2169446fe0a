"""The whole forward pass in one NumPy file equals the package, stage by stage."""

import ast
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from qwenimage_ref import QwenImage, rope
from qwenimage_ref.conditions import Branch
from qwenimage_ref.sampler import guide, pack, sigmas, unpack

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "notebooks" / "one_file.py"
POCKET = ROOT / "data" / "pocket"
BOUND = 1e-4  # of the largest value: the same formulas, other orders of float32 sums
PROMPTS = (
    "a red circle left of a blue star on a white background",
    "白色背景上，红色圆形在蓝色星形的左边，文字“AB12”",
    " ",
)
HARD_TEXTS = (
    "",
    "\nhello \r\n\r\n  there\t\tx \n",
    "a coffee shop, “通义千问” 😊 👨‍👩‍👧‍👦 costs $2.50!",
    "IT'S it'sabc we'Ve 'ſ don\u2019t snake_case __x__",
    "<|im_end|>a<|im_start|><|image_pad|> <tool_call></tool_call><|im_end",
    "Cafe\u0301 e\u0302\u0323 \u0301 ﬁ ™ ① ＡＢ１２",
    "١٢٣ ½ ² Ⅷ 12345 〇 一二三",
    "a\xa0b\u200bc\u3000d\u2028e\x85\x00f",
)


@pytest.fixture(scope="module")
def one_file():
    spec = importlib.util.spec_from_file_location("one_file", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(one_file):
    return one_file.read_model(POCKET)


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


def assert_equal(ours, packages):
    packages = np.asarray(packages)
    assert ours.shape == packages.shape
    assert np.abs(ours - packages).max() <= BOUND * np.abs(packages).max()


def random_numbers(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def test_it_imports_numpy_and_the_standard_library_alone():
    names = set()
    for node in ast.walk(ast.parse(FILE.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    assert names - sys.stdlib_module_names == {"numpy"}


def test_it_has_at_most_400_lines():
    assert len(FILE.read_text("utf-8").splitlines()) <= 400


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_safetensors_file_is_read_bit_for_bit(one_file, tmp_path, dtype):
    tensors = {"a.b": random_numbers(3, 5).to(dtype), "c": random_numbers(7).to(dtype)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    arrays = dict(one_file.read_safetensors(tmp_path / "x.safetensors"))
    assert arrays.keys() == tensors.keys()
    for name, array in arrays.items():
        assert array.dtype == np.float32
        assert np.array_equal(array, tensors[name].float().numpy())


@pytest.mark.parametrize("text", [*PROMPTS, *HARD_TEXTS])
def test_a_text_has_the_packages_ids(one_file, model, pipe, text):
    assert one_file.encode(text, model.tokenizer) == pipe.tokenizer.encode(text)


@pytest.mark.parametrize("prompt", [*PROMPTS, "a star, " * 300])
@pytest.mark.filterwarnings("ignore:the prompt is longer")
def test_a_prompt_has_the_packages_text_states(one_file, model, pipe, prompt):
    assert_equal(one_file.encode_prompt(prompt, model), pipe.encode_prompt([prompt])[0][0])


@pytest.mark.parametrize("rows, cols", [(8, 8), (5, 8), (7, 3)])
def test_tokens_stand_and_turn_as_in_the_package(one_file, rows, cols):
    expected = rope.positions([(1, rows, cols)], 6)
    for ours, packages in zip(one_file.positions(rows, cols, 6), expected):
        assert np.array_equal(ours, packages)
        turned = np.exp(1j * one_file.angles(ours, (8, 20, 20)))
        assert_equal(turned, rope.rotations(packages, (8, 20, 20)))


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**40 + 5])
def test_a_seed_draws_the_noise_of_torch(one_file, seed):
    torchs = torch.randn((16, 9, 16), generator=torch.Generator().manual_seed(seed))
    ours = one_file.draw_noise((16, 9, 16), seed)
    assert ours.dtype == np.float32 and np.abs(ours - torchs.numpy()).max() <= 1e-6


def test_latents_become_the_same_tokens_and_come_back(one_file):
    latents = random_numbers(1, 16, 6, 10)
    tokens = one_file.pack(latents[0].numpy())
    assert np.array_equal(tokens, pack(latents)[0])
    assert np.array_equal(one_file.unpack(tokens, 3, 5), unpack(pack(latents), 3, 5)[0])


@pytest.mark.parametrize("steps, tokens", [(2, 64), (20, 64), (50, 6889)])
def test_noise_levels_are_the_packages(one_file, model, pipe, steps, tokens):
    ours = one_file.noise_levels(steps, tokens, model.scheduler)
    assert np.abs(ours - sigmas(steps, tokens, pipe.scheduler).numpy()).max() <= 1e-6


def test_guidance_is_the_packages(one_file):
    cond, uncond = random_numbers(2, 1, 6, 64)
    ours = one_file.guide(cond[0].numpy(), uncond[0].numpy(), 4.0)
    assert_equal(ours, guide(cond, uncond, 4.0)[0])


@pytest.mark.parametrize("rows, cols", [(8, 8), (3, 5)])
def test_the_transformer_predicts_the_same_velocity(one_file, model, pipe, rows, cols):
    img, txt = random_numbers(1, rows * cols, 64), random_numbers(1, 7, 192)
    with torch.no_grad():
        packages = pipe.transformer(img, txt, torch.tensor([0.7]), [(1, rows, cols)])[0]
    numbers = img[0].numpy(), txt[0].numpy(), np.float32(0.7)
    velocity = one_file.predict_velocity(*numbers, rows, cols, model.transformer)
    assert velocity.dtype == np.float32
    assert_equal(velocity, packages)


def test_guided_steps_end_at_the_same_latents(one_file, model, pipe):
    noise, txt = random_numbers(1, 16, 6, 10), random_numbers(2, 1, 7, 192)
    levels = sigmas(3, 15, pipe.scheduler)
    with torch.no_grad():
        packages = pipe.denoise(noise, levels, Branch(txt[0]), Branch(txt[1]), 4.0)[0]
    numbers = (each.numpy() for each in (noise[0], levels, *txt[:, 0]))
    assert_equal(one_file.denoise(*numbers, 4.0, model.transformer), packages)


def test_latents_decode_to_the_same_pixels(one_file, model, pipe):
    latents = random_numbers(1, 16, 6, 10)
    with torch.no_grad():
        packages = pipe.vae.decode(pipe.vae.denormalize(latents))[0]
    pixels = one_file.decode(latents[0].numpy(), model.vae)
    assert pixels.dtype == np.float32
    assert_equal(pixels, packages)


@pytest.mark.parametrize("prompt", PROMPTS[:2])
def test_a_prompt_becomes_the_same_picture(one_file, model, pipe, prompt):
    pixels = one_file.paint(prompt, model, steps=6, seed=5)
    packages = np.asarray(pipe(prompt, " ", num_inference_steps=6, seed=5)[0])
    assert np.abs(pixels.astype(int) - packages).max() <= 1
    assert (pixels != packages).mean() < 1e-3


def test_the_command_writes_a_png_that_others_read(one_file, model, tmp_path):
    to = tmp_path / "out.png"
    command = [sys.executable, FILE, PROMPTS[0], "-o", to, "--steps", "2", "--seed", "1"]
    subprocess.run(command, check=True, cwd=tmp_path)
    expected = one_file.paint(PROMPTS[0], model, steps=2, seed=1)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(to.read_bytes()))), expected)
