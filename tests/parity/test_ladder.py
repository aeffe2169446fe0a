"""Rung by rung from text to noise: every stage in its variants, tiny and at official width.

What other files prove at one size (test_tokenizer, test_rope, test_sampler, test_parity) is
repeated here in bulk, in bf16, and as wide as the released model.
"""

import copy
import random
import unicodedata
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import QwenImagePipeline
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from helpers import speed
from helpers.bounds import entry, exact_entry

from qwenimage_ref import QwenImage, sampler
from qwenimage_ref.checkpoint import locate
from qwenimage_ref.config import (
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
    VisionConfig,
)
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import (
    copy_weights,
    random_weights,
    reference_mmdit,
    reference_scheduler,
    reference_text_encoder,
    reference_vae,
)
from qwenimage_ref.parity.tolerances import TOLERANCES, within
from qwenimage_ref.parity.trace import assert_agreement, difference
from qwenimage_ref.posters import draw
from qwenimage_ref.rope import positions, rotations
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.tokenizer import T2I, Tokenizer, TokenizerError
from qwenimage_ref.vae import VAE

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bf16"])


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def build(kind, config, seed=1):
    with torch.device("meta"):
        network = kind(config)
    return random_weights(network, seed)


# -- hostile prompts ------------------------------------------------------------------------------


FRAGMENTS = (
    *("<|im_end|>", "<|im_sta", "<|", "|>", "<|image_pad|>", "<tool_call>", "</tool_call", "{}"),
    *("\r", "\n", "\r\n\r\n", "\t", " ", "\x00", "\x1b[31m", "\x7f", "\x85", "\ufeff", "\u2028"),
    *("👨\u200d👩\u200d👧\u200d👦", "\u200d", "\ufe0f", "🇩🇪", "🏳️\u200d🌈", "\U000e0067"),
    *("\u0300\u0323\u0300", "e\u0301", "\u0f73", "각", "\u1100\u1161\u11a8", "ﷺ", "ﬁ", "①"),
    *("中文", "العربية", "हिन्दी", "ไทย", "שלום", "Ω", "ß", "ſ", "İ", "'S", "'ll", "½", "٣"),
    *("a", "Z", "9", "!", "__", "://", "%s", "\\", "'", '"', "\u202e", "\U0010ffff", "\ue000"),
)


def hostile_prompts(count: int):
    """Mixtures of fragments, bytes that are no text, endless words, one thing again and again."""
    rng = random.Random(11)
    scripts = "abcxyzÄßøλжש中あ한ก\u0301\u0323\u200d"
    for i in range(count):
        if i % 100 == 0:
            yield rng.choice(FRAGMENTS) * rng.randint(1000, 4000)
        elif i % 100 == 1:
            yield "".join(rng.choices(scripts, k=rng.randint(100, 3000)))
        elif i % 8 == 0:
            yield rng.randbytes(rng.randint(1, 40)).decode("utf-8", "surrogateescape")
        else:
            parts = rng.choices(FRAGMENTS, k=rng.randint(1, 9))
            yield "".join(part * rng.choice((1, 1, 2, 9)) for part in parts)


@pytest.fixture(scope="module", params=["trained", "official"])
def tokenizer(request) -> Tokenizer:
    if request.param == "official":
        folder = locate.find("tokenizer/vocab.json")
        if folder is None:
            pytest.skip("not checked: hostile prompts with the official vocabulary; it is not here")
        return Tokenizer.load(folder.parent)
    captions = [draw.caption(draw.sample_scene(i), "en", i) for i in range(200)]
    return Tokenizer.train(captions + [T2I] * 200 + ["a" * 64, " " * 64] * 9, 900)


def test_ten_thousand_hostile_prompts_are_encoded_in_bounded_time_or_refused(tokenizer):
    refused = 0
    with speed.own_garbage():
        for prompt in hostile_prompts(10_000):
            try:
                # ten times what a slow letter takes; in quadratic time a long prompt takes minutes
                with speed.at_most(0.1 + 5e-5 * len(prompt.encode("utf-8", "surrogatepass"))):
                    ids = tokenizer.encode(prompt)
            except TokenizerError:
                refused += 1
                assert any(0xD800 <= ord(letter) < 0xE000 for letter in prompt), ascii(prompt)
                continue
            assert tokenizer.decode(ids) == unicodedata.normalize("NFC", prompt), ascii(prompt)
    assert refused > 500


# -- noise levels, positions, noise ---------------------------------------------------------------


@pytest.mark.parametrize("image_tokens", [64, 256, 4096, 6032, 6889, 9000])
def test_levels_and_bf16_times_of_every_length_equal_those_of_the_diffusers_pipelines(image_tokens):
    config = SchedulerConfig.official()
    theirs = reference_scheduler(config)
    for steps in [*range(2, 51), 100, 1000]:
        mu = calculate_shift(image_tokens, 256, 8192, 0.5, 0.9)
        theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        levels = sampler.sigmas(steps, image_tokens, config)
        assert difference(levels, theirs.sigmas)[0] <= within("sigmas")
        told = sampler.model_time(levels[:-1], torch.bfloat16)
        expected = theirs.timesteps.to(torch.bfloat16) / 1000
        assert difference(told, expected)[0] <= within("times", torch.bfloat16)


def test_rotations_of_random_grids_odd_and_even_equal_those_of_diffusers():
    rng = random.Random(3)
    axes = (16, 56, 56)
    theirs = QwenEmbedRope(theta=10000, axes_dim=list(axes), scale_rope=True)
    for _ in range(20):
        grids = [(1, rng.randint(1, 90), rng.randint(1, 90)) for _ in range(rng.randint(1, 4))]
        length = rng.randint(1, 600)
        expected = theirs([grids], max_txt_seq_len=length, device="cpu")
        for pos, reference in zip(positions(grids, length), expected):
            ours, reference = map(torch.view_as_real, (rotations(pos, axes), reference))
            assert difference(ours, reference)[0] <= within("rope"), grids


@BOTH
@pytest.mark.parametrize("size", [(64, 96), (1328, 1328), (928, 1664)])
@pytest.mark.parametrize("seed", [42, [42, 2**40]], ids=["one seed", "a seed each"])
def test_a_seed_gives_the_initial_noise_of_diffusers(dtype, size, seed):
    height, width = size
    vae, transformer = build(VAE, replace(VAEConfig.official(), base_dim=4)), build(MMDiT, TINY)
    pipe = QwenImage(None, None, transformer.to(dtype), vae, SchedulerConfig.official())
    generator = (
        [torch.Generator().manual_seed(s) for s in seed]
        if isinstance(seed, list)
        else (torch.Generator().manual_seed(seed))
    )
    theirs = SimpleNamespace(vae_scale_factor=8, _pack_latents=QwenImagePipeline._pack_latents)
    expected = QwenImagePipeline.prepare_latents(
        theirs, 2, 16, height, width, dtype, torch.device("cpu"), generator
    )
    ours = sampler.pack(pipe.noise(2, height, width, seed))
    assert ours.dtype == expected.dtype == dtype
    assert difference(ours, expected)[0] <= within("noise")


def test_fifty_euler_steps_in_bf16_equal_those_of_diffusers():
    levels = sampler.sigmas(50, 256, SchedulerConfig.official())
    theirs = reference_scheduler(SchedulerConfig.official())
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / 50, 50), mu=0.5)
    ours = expected = noise(1, 256, 64, dtype=torch.bfloat16)
    for i, t in enumerate(theirs.timesteps):
        velocity = noise(1, 256, 64, seed=i, dtype=torch.bfloat16)
        ours = sampler.euler_step(ours, velocity, levels[i], levels[i + 1])
        expected = theirs.step(velocity, t, expected).prev_sample
        assert difference(ours, expected)[0] <= within("euler", torch.bfloat16)


# -- the transformer ------------------------------------------------------------------------------

TINY = MMDiTConfig(
    num_layers=3,
    num_attention_heads=3,
    attention_head_dim=24,
    joint_attention_dim=40,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 8, 12),
)
WIDE = replace(MMDiTConfig.official(), num_layers=1)
LAYERED = {"use_layer3d_rope": True, "use_additional_t_cond": True}
MASK = torch.tensor([[1, 1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1, 1]]).bool()
SITUATIONS = {  # flags of the config, grids, mask of the text
    "odd sizes": ({}, [(1, 5, 3)], None),
    "padded text": ({}, [(1, 4, 3)], MASK),
    "three pictures": ({}, [(1, 3, 5), (1, 2, 4), (1, 5, 1)], None),
    "condition at time zero": ({"zero_cond_t": True}, [(1, 3, 5), (1, 2, 4)], MASK),
    "layers": (LAYERED, [(3, 3, 2), (1, 3, 2)], None),
}
in_every_situation = pytest.mark.parametrize("situation", SITUATIONS)


@pytest.fixture(scope="module")
def wide_weights():
    """Of every situation together, at official width: one block, and Layered's extra tensor."""
    return build(MMDiT, replace(WIDE, **LAYERED)).state_dict()


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def weights(request, wide_weights):
    return {name: tensor.to(request.param) for name, tensor in wide_weights.items()}


def with_weights(config: MMDiTConfig, weights: dict) -> MMDiT:
    with torch.device("meta"):
        network = MMDiT(config)
    wanted = {name: weights[name] for name in network.state_dict()}
    network.load_state_dict(wanted, assign=True)
    return network.eval()


def agree_in(situation: str, ours: MMDiT, name: str) -> None:
    _, grids, mask = SITUATIONS[situation]
    dtype, config = ours.proj_out.weight.dtype, ours.config
    batch = 1 if mask is None else len(mask)
    tokens = sum(frames * rows * cols for frames, rows, cols in grids)
    inputs = dict(
        img=noise(batch, tokens, config.in_channels, dtype=dtype),
        txt=noise(batch, 7, config.joint_attention_dim, seed=1, dtype=dtype),
        sigma=torch.linspace(0.37, 0.91, batch).to(dtype),
        grids=grids,
    )
    theirs = copy_weights(ours, reference_mmdit(config))
    if mask is not None:
        inputs["txt_mask"] = mask
    assert_agreement(ours, theirs, inputs, exact_entry(name, dtype))


@in_every_situation
@BOTH
def test_a_stack_of_blocks_agrees_with_diffusers(situation, dtype):
    config = replace(TINY, **SITUATIONS[situation][0])
    agree_in(situation, build(MMDiT, config).to(dtype), "stack")


@in_every_situation
def test_a_block_of_official_width_agrees_with_diffusers(situation, weights):
    config = replace(WIDE, **SITUATIONS[situation][0])
    agree_in(situation, with_weights(config, weights), "block")


# -- the text tower -------------------------------------------------------------------------------

TINY_TEXT = TextEncoderConfig(
    num_hidden_layers=28,
    hidden_size=48,
    num_attention_heads=6,
    num_key_value_heads=2,
    intermediate_size=56,
    vocab_size=97,
    mrope_section=(1, 1, 2),
    image_token_id=90,
)
WIDE_TEXT = replace(
    TextEncoderConfig.official(), num_hidden_layers=1, vocab_size=97, image_token_id=90
)
TINY_VISION = VisionConfig(
    depth=1, hidden_size=32, num_heads=2, intermediate_size=64, fullatt_block_indexes=(0,)
)
IDS = torch.randint(90, (2, 9), generator=torch.Generator().manual_seed(0))


def picture_in_prompt(width: int, dtype: torch.dtype) -> dict:
    """Four tokens of text, a picture of 3x5 tokens, two tokens of text, at three-part positions."""
    row, col = torch.arange(15) // 5, torch.arange(15) % 5
    before, after = torch.arange(4), torch.arange(9, 11)  # text goes on after the longer side
    axes = [torch.cat([before, place, after]) for place in (torch.full((15,), 4), 4 + row, 4 + col)]
    ids = torch.cat([IDS[:1, :4], torch.full((1, 15), 90), IDS[:1, 4:6]], dim=1)
    return dict(
        ids=ids,
        positions=torch.stack(axes).unsqueeze(1),
        image_states=noise(15, width, dtype=dtype),
    )


PROMPTS = {
    "text": lambda width, dtype: dict(ids=IDS),
    "padded text": lambda width, dtype: dict(
        ids=IDS, mask=torch.arange(9) < torch.tensor([[9], [4]])
    ),
    "a picture inside": picture_in_prompt,
}


@pytest.fixture(scope="module", params=[TINY_TEXT, WIDE_TEXT], ids=["28 tiny layers", "1 wide"])
def text_encoder(request):
    return build(TextEncoder, request.param)


@pytest.mark.parametrize("prompt", PROMPTS)
@BOTH
def test_text_states_agree_with_transformers(text_encoder, prompt, dtype):
    ours = copy.deepcopy(text_encoder).to(dtype)  # careful: `to` rounds in place
    theirs = reference_text_encoder(ours.config, TINY_VISION)
    copy_weights(ours, theirs, unused=("visual.", "lm_head."))
    inputs = PROMPTS[prompt](ours.config.hidden_size, dtype)
    assert_agreement(ours, theirs, inputs, exact_entry("text states", dtype))


# -- the VAE --------------------------------------------------------------------------------------


@BOTH
def test_the_vae_agrees_with_diffusers_both_ways(dtype):
    config = replace(VAEConfig.official(), base_dim=16)
    ours = build(VAE, config).to(dtype)
    theirs = copy_weights(ours, reference_vae(config))
    picture = noise(1, 3, 40, 72, dtype=dtype).clamp(-1, 1)
    assert_agreement(ours, theirs, dict(img=picture), entry("vae encode", dtype))
    latents = dict(z=noise(1, 16, 5, 9, dtype=dtype))
    assert_agreement(ours, theirs, latents, entry("vae decode", dtype))


# -- the table ------------------------------------------------------------------------------------


def test_every_tolerance_is_somebodys_bound():
    root = Path(__file__).parents[2]
    files = [*root.glob("tests/**/*.py"), *root.glob("qwenimage_ref/parity/**/*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files if file.name != "tolerances.py"]
    code = "\n".join(texts)
    unused = [
        name
        for name in TOLERANCES
        if f'"{name}"' not in code and f'"{name.removesuffix(" bf16")}"' not in code
    ]
    assert unused == []
