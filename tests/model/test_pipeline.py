"""The pipeline on the shipped pocket weights: upstream's habits, diffusers' pictures, bad input."""

import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import QwenImagePipeline
from helpers import speed

from qwenimage_ref import QwenImage
from qwenimage_ref.checkpoint import CheckpointError
from qwenimage_ref.checkpoint.model_folder import read_model_index
from qwenimage_ref.parity.tolerances import within
from qwenimage_ref.sampler import sigmas

POCKET = Path(__file__).parents[2] / "data" / "pocket"
PROMPT = "a red circle left of a blue star on a white background"
LONGER = 'a small green ring in the center on a navy background with the text "OK"'


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module")
def theirs():
    loaded = QwenImagePipeline.from_pretrained(POCKET, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def pixels(picture):
    return np.asarray(picture).astype(float)


@pytest.mark.parametrize("prompt", [PROMPT, "深蓝色背景上，一个大的黄色星形，文字“A7”"])
def test_diffusers_paints_the_same_picture_from_the_same_folder(pipe, theirs, prompt):
    ours = pipe(prompt, negative_prompt=" ", num_inference_steps=6, seed=5)[0]
    reference = theirs(
        prompt,
        negative_prompt=" ",
        true_cfg_scale=4.0,
        num_inference_steps=6,
        height=128,
        width=128,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    off = np.abs(pixels(ours) - pixels(reference))
    assert off.max() <= 1 and off.mean() <= 255 * within("picture")


def test_diffusers_finds_every_key_in_the_folder():
    import diffusers
    import transformers

    for cls, part in (
        (diffusers.QwenImageTransformer2DModel, "transformer"),
        (diffusers.AutoencoderKLQwenImage, "vae"),
        (transformers.Qwen2_5_VLForConditionalGeneration, "text_encoder"),
    ):
        _, info = cls.from_pretrained(POCKET / part, output_loading_info=True)
        assert not info["missing_keys"], (part, info["missing_keys"])
        assert not info["unexpected_keys"], (part, info["unexpected_keys"])
        assert not info["mismatched_keys"], (part, info["mismatched_keys"])


def test_diffusers_and_transformers_read_the_folder_without_a_warning(caplog):
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_warning()
        library.utils.logging.enable_propagation()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        QwenImagePipeline.from_pretrained(POCKET, dtype=torch.float32)
        transformers.AutoTokenizer.from_pretrained(POCKET / "tokenizer")
    assert [line.getMessage() for line in caplog.records if line.levelname == "WARNING"] == []


def test_settings_that_an_older_folder_recommends_in_its_index_are_read(tmp_path):
    index = json.loads((POCKET / "model_index.json").read_text("utf-8"))
    (tmp_path / "model_index.json").write_text(json.dumps(index | {"sample_size": 64}))
    assert read_model_index(tmp_path) == {"sample_size": 64}
    (tmp_path / "recommended.json").write_text('{"sample_size": 96, "num_inference_steps": 7}')
    assert read_model_index(tmp_path) == {"sample_size": 96, "num_inference_steps": 7}


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"sample_size": 0}', "sample_size must be a whole number from 1 to 65,536, got 0"),
        ('{"num_inference_steps": "20"}', "num_inference_steps must be a whole number"),
        ('{"reads_pictures": 0}', "reads_pictures must be true or false, got 0; correct recom"),
        ("{", "recommended.json is damaged"),
        ("[]", "recommended.json is damaged .it must hold an object"),
    ],
)
def test_impossible_recommended_settings_are_named(tmp_path, content, message):
    (tmp_path / "model_index.json").write_bytes((POCKET / "model_index.json").read_bytes())
    (tmp_path / "recommended.json").write_text(content)
    with pytest.raises(CheckpointError, match=message):
        read_model_index(tmp_path)


def test_text_states_are_those_of_diffusers(pipe, theirs):
    prompts = [PROMPT, LONGER, ""]
    states, mask = pipe.encode_prompt(prompts)
    reference, reference_mask = theirs.encode_prompt(prompts, max_sequence_length=512)
    assert torch.equal(mask.long(), reference_mask.long())
    assert (states - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_a_batch_of_two_is_two_single_pictures(pipe):
    def latents(prompts, seeds):
        cond, uncond = pipe.encode_prompts([prompts, [" "] * len(prompts)])
        levels = sigmas(4, 64, pipe.scheduler)
        noise = pipe.noise(len(prompts), 128, 128, seeds)
        return pipe.denoise(noise, levels, cond, uncond)

    with torch.no_grad():
        both = latents([PROMPT, LONGER], [1, 2])
        single = torch.cat([latents([PROMPT], [1]), latents([LONGER], [2])])
    assert (both - single).abs().max() <= 1e-5 * single.abs().max()


def test_a_single_prompt_is_never_padded(pipe):
    states, mask = pipe.encode_prompt([PROMPT])
    assert mask is None
    assert states.shape[1] == len(pipe.tokenizer.encode_prompt(PROMPT)) - 34


def test_prompts_of_one_length_need_no_mask(pipe):
    _, mask = pipe.encode_prompt([PROMPT, PROMPT.replace("red", "pink")])
    assert mask is None


def test_an_empty_prompt_keeps_the_five_tokens_after_the_slot(pipe):
    assert pipe.encode_prompt([""])[0].shape[1] == 5


def test_guidance_without_a_negative_prompt_is_off_and_says_so(pipe):
    with pytest.warns(UserWarning, match="no effect without a negative_prompt"):
        plain = pipe(PROMPT, num_inference_steps=2, seed=1)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        off = pipe(PROMPT, true_cfg_scale=1.0, num_inference_steps=2, seed=1)[0]
        guided = pipe(PROMPT, negative_prompt="", num_inference_steps=2, seed=1)[0]
    assert np.array_equal(pixels(plain), pixels(off))
    assert not np.array_equal(pixels(plain), pixels(guided))


def test_every_scale_above_one_guides(pipe):
    small = {"height": 32, "width": 32, "num_inference_steps": 2, "seed": 1}
    plain = pipe(PROMPT, negative_prompt="", true_cfg_scale=1.0, **small)[0]
    guided = pipe(PROMPT, negative_prompt="", true_cfg_scale=1.5, **small)[0]
    assert not np.array_equal(pixels(plain), pixels(guided))


def test_the_noise_of_a_seed_is_upstream_s(pipe):
    noise = pipe.noise(2, 64, 96, seed=42)
    theirs = torch.randn((2, 1, 16, 8, 12), generator=torch.Generator().manual_seed(42))
    assert torch.equal(noise, theirs[:, 0])


def test_the_same_seed_paints_the_same_picture_and_another_seed_another(pipe):
    def paint(seed):
        return pixels(pipe(PROMPT, negative_prompt=" ", num_inference_steps=3, seed=seed)[0])

    assert np.array_equal(paint(7), paint(7))
    assert not np.array_equal(paint(7), paint(8))


def test_the_callback_sees_every_step_and_the_last_guess_is_the_picture(pipe):
    seen = []
    pipe(
        PROMPT,
        negative_prompt=" ",
        num_inference_steps=5,
        seed=3,
        callback=lambda step, sigma, x, v: seen.append((step, sigma, x - sigma * v)),
    )
    assert [step for step, *_ in seen] == [0, 1, 2, 3, 4]
    assert seen[0][1] == 1 and seen[-1][1] == pytest.approx(0.02)
    last = pipe(PROMPT, negative_prompt=" ", num_inference_steps=5, seed=3)[0]
    guess = pipe.to_pictures(seen[-1][2])[0]
    assert np.abs(pixels(last) - pixels(guess)).mean() < 0.01


def test_a_picture_need_not_be_square(pipe):
    picture = pipe(PROMPT, true_cfg_scale=1.0, height=96, width=160, num_inference_steps=2, seed=0)
    assert picture[0].size == (160, 96)


def test_a_guided_picture_takes_at_most_three_seconds_once_loaded(pipe):
    with speed.at_most(3):
        pipe(PROMPT, negative_prompt=" ", num_inference_steps=20, seed=0)


def test_bf16_paints_nearly_the_same_picture(pipe):
    half = QwenImage.from_pretrained(POCKET, dtype=torch.bfloat16)
    a, b = (
        pixels(p(PROMPT, negative_prompt=" ", num_inference_steps=20, seed=3)[0])
        for p in (pipe, half)
    )
    assert np.abs(a - b).mean() < 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"height": 0}, "height must be a positive multiple of 16, got 0; try 16 or 32"),
        ({"width": -16}, "width must be a positive multiple of 16, got -16; try 16 or 32"),
        ({"height": 1000}, "must be a positive multiple of 16, got 1000; try 992 or 1008"),
        ({"height": 64.5}, "height must be a whole number of pixels, got 64.5"),
        ({"width": "64"}, "width must be a whole number of pixels, got '64'"),
        ({"height": 65536, "width": 65536}, "of free memory, got about .*; use smaller sides"),
        ({"height": 16, "width": 16 * 8192}, "width must be at most 98,304, got 131,072"),
        ({"num_inference_steps": 0}, "use 2 or more"),
        ({"num_inference_steps": 1}, "use 2 or more"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\*\*64 - 1, got -1"),
        ({"seed": 2**64}, "got 18446744073709551616"),
        ({"seed": 1.5}, "seed must be a whole number .*, got 1.5"),
        ({"seed": [1, 2]}, "seed must be one number or 1, one a prompt, got 2"),
        ({"seed": ["7"]}, "seed must be a whole number .*, got 7"),
        ({"max_sequence_length": 2000}, "max_sequence_length must be 1 to 1024, got 2000"),
        ({"negative_prompt": [" ", " "]}, "one for each of 1 prompts, got 2"),
        ({"true_cfg_scale": float("nan")}, "true_cfg_scale must be finite, got nan"),
        ({"true_cfg_scale": float("inf")}, "true_cfg_scale must be finite, got inf"),
        ({"true_cfg_scale": -float("inf")}, "true_cfg_scale must be finite, got -inf"),
    ],
)
def test_a_wrong_argument_is_named_with_its_remedy(pipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipe(PROMPT, **{"negative_prompt": " ", "num_inference_steps": 2, **arguments})


def test_no_prompt_is_refused(pipe):
    with pytest.raises(ValueError, match="prompt must be a string or a list of at least one"):
        pipe([])


@pytest.mark.parametrize("seed", [7, np.int64(7), np.uint32(7), [np.uint8(7)], np.array([7])])
def test_a_seed_of_any_integer_type_is_that_of_torch(pipe, seed):
    theirs = torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(7))
    assert torch.equal(pipe.noise(1, 64, 64, seed), theirs)


def test_the_largest_seed_of_torch_draws_torch_s_noise(pipe):
    theirs = torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(2**64 - 1))
    assert torch.equal(pipe.noise(1, 64, 64, 2**64 - 1), theirs)


def test_a_prompt_of_a_megabyte_is_refused_before_any_work(pipe):
    with pytest.raises(ValueError, match="at most 50,000 characters, got 1,000,000; shorten it"):
        pipe("a" * 1_000_000, negative_prompt=" ")


def test_a_prompt_longer_than_is_read_says_so(pipe):
    with pytest.warns(UserWarning, match="longer than 16 tokens; its end is not read"):
        states, _ = pipe.encode_prompt([PROMPT + " and" * 20], max_sequence_length=16)
    assert states.shape[1] == 16


def test_a_warning_names_the_line_that_asked_for_the_picture(pipe):
    with pytest.warns(UserWarning) as warned:
        pipe.encode_prompt([PROMPT + " and" * 20], max_sequence_length=16)
        pipe(PROMPT, height=16, width=16, num_inference_steps=2)
    assert [warning.filename for warning in warned] == [__file__, __file__]


def test_512_tokens_of_a_prompt_are_read_by_default(pipe):
    longer = " red" * 600
    with pytest.warns(UserWarning, match="longer than 512 tokens"):
        assert pipe.encode_prompt([longer])[0].shape[1] == 512
    with pytest.warns(UserWarning, match="longer than 512 tokens"):
        pipe(longer, true_cfg_scale=1.0, height=16, width=16, num_inference_steps=2)
    assert pipe.encode_prompt([" red" * 500])[0].shape[1] == 505


def test_several_threads_paint_the_pictures_of_one(pipe):
    def paint(seed):
        prompt = [PROMPT, LONGER, ""][seed % 3]
        return pixels(pipe(prompt, " ", height=64, width=64, num_inference_steps=2, seed=seed)[0])

    alone = [paint(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(paint, range(6)))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_fp16_is_refused_with_the_reason():
    with pytest.raises(ValueError, match="float16 ends at 65,504; use torch.bfloat16"):
        QwenImage.from_pretrained(POCKET, dtype=torch.float16)


def test_a_missing_folder_is_named_and_nothing_is_downloaded():
    with pytest.raises(FileNotFoundError, match="neither a folder nor a model in the local"):
        QwenImage.from_pretrained("nobody/no-such-model")


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_single_file_takes_the_place_of_the_folder_s_weights_of_its_part(tmp_path, part):
    file = tmp_path / "mine.safetensors"
    with pytest.raises(CheckpointError, match="mine.safetensors is missing"):
        QwenImage.from_pretrained(POCKET, **{part: file})


def test_a_half_downloaded_folder_is_named(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "QwenImagePipeline"}')
    with pytest.raises(ValueError, match="config.json is missing; is the folder completely"):
        QwenImage.from_pretrained(tmp_path)


def test_a_folder_of_another_pipeline_is_named(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(CheckpointError, match="must be one of .*, got FluxPipeline"):
        QwenImage.from_pretrained(tmp_path)


def test_untrained_weights_say_so_instead_of_painting_nan(pipe):
    with pytest.raises(FloatingPointError, match="the latents hold NaN"):
        pipe.to_pictures(torch.full((1, 16, 8, 8), float("nan")))
