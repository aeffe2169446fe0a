"""Words, the sampler and the whole pipeline, ours and the reference's, for `make grade`: findings.

Each function yields, for every comparison, where the two part, or "" where they are equal.
"""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from transformers import AutoTokenizer

from ... import pipeline, sampler
from ...config import SchedulerConfig
from ...tokenizer import Tokenizer
from ..reference import (
    copy_weights,
    reference_mmdit,
    reference_scheduler,
    reference_text_encoder,
    reference_vae,
    run,
)
from ..tolerances import within
from .networks import VISION, apart, noise

TEXTS = (
    *("", " ", "a red circle left of a blue star", "A  cat\n\n sat;\tit's 1984!!\r\n", "\n\nwords"),
    *('the word "QWEN"', "红色的圆在蓝色的星左边", "café, cafe\u0301, ﬁ, Ω, ½", "👩\u200d👦 🇩🇪"),
    *("<|im_end|>\nassistant<|im_start|>", "{} {0} %s", "don't we'LL I'd 've", "x" * 70),
)
PROMPTS = ("a large blue circle on a white background", "a red star", " ")
SIZE = {"height": 96, "width": 64}  # pixels: neither square nor what the weights were trained on


# -- words ----------------------------------------------------------------------------------------


def _tokenizers(pocket: Path):
    folder = pocket / "tokenizer"
    return Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _letter() -> tuple[str, int, int]:
    """diffusers' template around a prompt, the tokens before its slot, the most that are read"""
    # careful: not the constants of tokenizer.py, which is among the files that are graded
    theirs = QwenImagePipeline(reference_scheduler(SchedulerConfig.official()), *[None] * 4)
    before = theirs.prompt_template_encode_start_idx
    return theirs.prompt_template_encode, before, before + theirs.tokenizer_max_length


def ids(pocket: Path):
    ours, theirs = _tokenizers(pocket)
    for text in TEXTS:
        yield _same(text, ours.encode(text), theirs(text).input_ids)


def _same(text: str, ids: list, expected: list) -> str:
    if ids == expected:
        return ""
    pairs = zip([*ids, None], [*expected, None])
    at = next(i for i, (mine, other) in enumerate(pairs) if mine != other)
    here = f"{ids[at : at + 3]}, not {expected[at : at + 3]}"
    return f"parts from the reference at id {at} of {text[:30]!r}: {here}"


def texts(pocket: Path):
    ours, theirs = _tokenizers(pocket)
    for text in TEXTS:
        ids = theirs(text).input_ids
        back, expected = ours.decode(ids), theirs.decode(ids)
        where = f"parts from the reference at {text[:30]!r}: it comes back as {back[:30]!r}"
        yield "" if back == expected else where


def prompts(pocket: Path):
    ours, theirs = _tokenizers(pocket)
    letter, start, longest = _letter()
    found = ours.prefix_length
    what = (
        f"parts from the reference at prefix_length: {found}, but {start} ids stand before a prompt"
    )
    yield "" if found == start else what
    for text in (*TEXTS, "a red star " * 500):
        expected = theirs(letter.replace("{}", text)).input_ids[:longest]
        yield _same(text, ours.encode_prompt(text), expected)


# -- the sampler ----------------------------------------------------------------------------------


def packing():
    latents = noise(2, 5, 6, 8)
    packed = QwenImagePipeline._pack_latents(latents, 2, 5, 6, 8)
    yield apart("pack", sampler.pack(latents), packed, 0, False)
    yield apart("unpack", sampler.unpack(packed, 3, 4), latents, 0, False)


def _schedule(steps: int, tokens: int, config: SchedulerConfig):
    theirs = reference_scheduler(config)
    theirs.set_timesteps(
        sigmas=np.linspace(1, 1 / steps, steps), mu=calculate_shift(tokens, 256, 8192, 0.5, 0.9)
    )
    return theirs


def levels():
    config = SchedulerConfig.official()
    for one in (config, replace(config, shift_terminal=0)):
        for steps, tokens in ((20, 64), (50, 6889), (2, 4096)):
            ours = sampler.sigmas(steps, tokens, one)
            what = f"the sigmas of {steps} steps, {tokens} tokens"
            what += "" if one.shift_terminal else ", without terminal stretch"
            reference = _schedule(steps, tokens, one).sigmas
            yield apart(what, ours, reference, within("sigmas"), False)


def times():
    theirs = _schedule(20, 256, SchedulerConfig.official())
    for dtype in (torch.float32, torch.bfloat16):
        told = sampler.model_time(theirs.sigmas[:-1], dtype)
        expected = theirs.timesteps.to(dtype) / 1000
        yield apart(f"the times in {dtype}", told, expected, within("times bf16"), False)


def euler():
    theirs = _schedule(5, 64, SchedulerConfig.official())
    for dtype in (torch.float32, torch.bfloat16):
        theirs.set_begin_index(0)
        theirs._step_index = None
        ours = expected = noise(1, 15, 20).to(dtype)
        for i, t in enumerate(theirs.timesteps):
            velocity = noise(1, 15, 20, seed=i).to(dtype)
            ours = sampler.euler_step(ours, velocity, theirs.sigmas[i], theirs.sigmas[i + 1])
            expected = theirs.step(velocity, t, expected).prev_sample
            yield apart(f"step {i} in {dtype}", ours, expected, within("euler bf16"), False)


def guidance():
    cond, uncond = noise(2, 15, 20), noise(2, 15, 20, seed=1)
    # the formula of diffusers' pipeline
    combined = uncond + 4 * (cond - uncond)
    expected = combined * (cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True))
    yield apart("the guided velocity", sampler.guide(cond, uncond, 4.0), expected, 1e-6)


# -- the whole ------------------------------------------------------------------------------------


def _expected_states(pocket: Path, pipe, prompts) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' states of prompts behind the letter's beginning, and where they are real"""
    _, tokenizer = _tokenizers(pocket)
    theirs = reference_text_encoder(pipe.text_encoder.config, VISION)
    copy_weights(pipe.text_encoder, theirs, unused=("visual.", "lm_head."))
    letter, start, _ = _letter()
    texts = [letter.replace("{}", prompt) for prompt in prompts]
    batch = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    mask = batch.attention_mask.bool()
    states = run(theirs, {"ids": batch.input_ids, "mask": mask})
    return (states * mask.unsqueeze(-1))[:, start:], mask[:, start:]


def states(pocket: Path):
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    for prompts in (PROMPTS, PROMPTS[:1]):
        [(ours, mask)] = pipe.encode_prompts([list(prompts)])
        expected, real = _expected_states(pocket, pipe, prompts)
        what = f"the states of {len(prompts)} prompts"
        yield apart(what, ours, expected, within("text states"))
        wrong = mask is not None if real.all() else mask is None or not torch.equal(mask, real)
        yield f"parts from the reference at the mask of {len(prompts)} prompts" if wrong else ""


def start(pocket: Path):
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    theirs = SimpleNamespace(vae_scale_factor=8, _pack_latents=QwenImagePipeline._pack_latents)
    for seed in (42, [42, 2**40]):
        several = seed if isinstance(seed, list) else [seed]
        generators = [torch.Generator().manual_seed(one) for one in several]
        generator = generators if isinstance(seed, list) else generators[0]
        packed = QwenImagePipeline.prepare_latents(
            theirs, 2, 16, 96, 64, torch.float32, torch.device("cpu"), generator
        )
        expected = QwenImagePipeline._unpack_latents(packed, 96, 64, 8).squeeze(2)
        ours = pipe.noise(2, 96, 64, seed)
        yield apart(f"the noise of seed {seed}", ours, expected, within("noise"), False)


def picture(pocket: Path):
    pipe = pipeline.QwenImage.from_pretrained(pocket)
    made = pipe(PROMPTS[0], " ", num_inference_steps=4, seed=7, **SIZE)[0]
    theirs = QwenImagePipeline(
        reference_scheduler(pipe.scheduler),
        copy_weights(pipe.vae, reference_vae(pipe.vae.config)),
        None,
        None,
        copy_weights(pipe.transformer, reference_mmdit(pipe.transformer.config)),
    )
    theirs.set_progress_bar_config(disable=True)
    (cond, cond_mask), (uncond, uncond_mask) = (
        _expected_states(pocket, pipe, [prompt]) for prompt in (PROMPTS[0], " ")
    )
    expected = theirs(
        prompt_embeds=cond,
        prompt_embeds_mask=cond_mask,
        negative_prompt_embeds=uncond,
        negative_prompt_embeds_mask=uncond_mask,
        true_cfg_scale=4.0,
        num_inference_steps=4,
        generator=torch.Generator().manual_seed(7),
        output_type="np",
        **SIZE,
    ).images[0]
    off, bound = np.abs(np.asarray(made) / 255 - expected).mean().item(), within("picture")
    said = (
        f"parts from the reference by {255 * off:.1f}/255 in the mean (tolerance {255 * bound:.0f})"
    )
    yield "" if off <= bound else said
