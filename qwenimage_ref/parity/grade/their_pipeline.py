"""What diffusers and transformers compute of words, the sampler and the whole, for `make grade`.

Each function yields, in the order in which its namesake in ours.py yields values, a comparison that
waits for that value.
"""

import functools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from transformers import AutoTokenizer

from ...config import SchedulerConfig
from ...pipeline import QwenImage
from ..reference import (
    copy_weights,
    reference_mmdit,
    reference_scheduler,
    reference_text_encoder,
    reference_vae,
    run,
)
from ..tolerances import within
from .cases import (
    DTYPES,
    LONG_TEXTS,
    PROMPTS,
    SCHEDULERS,
    SCHEDULES,
    SEED,
    SEEDS,
    SIZE,
    STEPS,
    TEXTS,
    VISION,
    noise,
)
from .findings import Comparison, equal, id_list, short, tensor

# ---- words


@functools.cache
def _tokenizer(pocket: Path):
    return AutoTokenizer.from_pretrained(pocket / "tokenizer", local_files_only=True)


def _template() -> tuple[str, int, int]:
    """diffusers' template, the tokens before its slot, the most tokens that are read"""
    # careful: not the constants of tokenizer.py, which is among the files that are graded
    theirs = QwenImagePipeline(reference_scheduler(SchedulerConfig.official()), *[None] * 4)
    before = theirs.prompt_template_encode_start_idx
    return theirs.prompt_template_encode, before, before + theirs.tokenizer_max_length


def ids_of_texts(pocket: Path) -> list[list[int]]:
    return [_tokenizer(pocket)(text).input_ids for text in TEXTS]


def ids(_, pocket: Path) -> Iterator[Comparison]:
    yield from map(id_list, TEXTS, ids_of_texts(pocket))


def texts(_, pocket: Path) -> Iterator[Comparison]:
    for text, ids in zip(TEXTS, ids_of_texts(pocket)):
        theirs = _tokenizer(pocket).decode(ids)
        yield equal(f"{text[:30]!r}, whose ids are decoded", theirs)


def prompts(_, pocket: Path) -> Iterator[Comparison]:
    template, before, longest = _template()
    yield equal(f"prefix_length, where {before} ids stand before a prompt", before)
    for text in LONG_TEXTS:
        theirs = _tokenizer(pocket)(template.replace("{}", text)).input_ids
        yield id_list(text, theirs[:longest])


# ---- the sampler


def packed() -> torch.Tensor:
    return QwenImagePipeline._pack_latents(noise(2, 5, 6, 8), 2, 5, 6, 8)


def packing(_, pocket: Path) -> Iterator[Comparison]:
    yield tensor("pack", packed(), 0, False)
    yield tensor("unpack", noise(2, 5, 6, 8), 0, False)


def _schedule(steps: int, tokens: int, config: SchedulerConfig):
    theirs = reference_scheduler(config)
    theirs.set_timesteps(
        sigmas=np.linspace(1, 1 / steps, steps), mu=calculate_shift(tokens, 256, 8192, 0.5, 0.9)
    )
    return theirs


def levels(_, pocket: Path) -> Iterator[Comparison]:
    for config in SCHEDULERS:
        for steps, tokens in SCHEDULES:
            what = f"the sigmas of {steps} steps, {tokens} tokens"
            what += "" if config.shift_terminal else ", without terminal stretch"
            sigmas = _schedule(steps, tokens, config).sigmas
            yield tensor(what, sigmas, within("sigmas"), False)


def levels_of_times() -> torch.Tensor:
    return _schedule(20, 256, SCHEDULERS[0]).sigmas[:-1]


def times(_, pocket: Path) -> Iterator[Comparison]:
    theirs = _schedule(20, 256, SCHEDULERS[0]).timesteps
    for dtype in DTYPES:
        yield tensor(f"the times in {dtype}", theirs.to(dtype) / 1000, within("times bf16"), False)


def levels_of_steps() -> torch.Tensor:
    return _schedule(5, 64, SCHEDULERS[0]).sigmas


def euler(_, pocket: Path) -> Iterator[Comparison]:
    for dtype in DTYPES:
        scheduler = _schedule(5, 64, SCHEDULERS[0])
        latents = noise(1, 15, 20).to(dtype)
        for i, t in enumerate(scheduler.timesteps):
            velocity = noise(1, 15, 20, seed=i).to(dtype)
            latents = scheduler.step(velocity, t, latents).prev_sample
            yield tensor(f"step {i} in {dtype}", latents, within("euler bf16"), False)


def guidance(_, pocket: Path) -> Iterator[Comparison]:
    cond, uncond = noise(2, 15, 20), noise(2, 15, 20, seed=1)
    # the formula of diffusers' pipeline
    combined = uncond + 4 * (cond - uncond)
    guided = combined * (cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True))
    yield tensor("the guided velocity", guided, 1e-6)


# ---- the whole


@functools.cache
def _pipeline(pocket: Path) -> QwenImage:
    return QwenImage.from_pretrained(pocket)


def _states(pocket: Path, prompts) -> tuple[torch.Tensor, torch.Tensor]:
    """transformers' states of prompts without the template's beginning, and where they are real"""
    encoder = _pipeline(pocket).text_encoder
    theirs = reference_text_encoder(encoder.config, VISION)
    copy_weights(encoder, theirs, unused=("visual.", "lm_head."))
    template, before, _ = _template()
    texts = [template.replace("{}", prompt) for prompt in prompts]
    batch = _tokenizer(pocket)(texts, padding=True, padding_side="right", return_tensors="pt")
    mask = batch.attention_mask.bool()
    states = run(theirs, {"ids": batch.input_ids, "mask": mask})
    return (states * mask.unsqueeze(-1))[:, before:], mask[:, before:]


def states(_, pocket: Path) -> Iterator[Comparison]:
    for prompts in (PROMPTS, PROMPTS[:1]):
        theirs, real = _states(pocket, prompts)
        yield tensor(f"the states of {len(prompts)} prompts", theirs, within("text states"))
        mask = f"the mask of {len(prompts)} prompts"
        # prompts of one length need no mask
        yield equal(mask, None) if real.all() else tensor(mask, real, 0, False)


def start(_, pocket: Path) -> Iterator[Comparison]:
    rows, cols = SIZE["height"], SIZE["width"]
    theirs = SimpleNamespace(vae_scale_factor=8, _pack_latents=QwenImagePipeline._pack_latents)
    for seed in SEEDS:
        several = seed if isinstance(seed, list) else [seed]
        generators = [torch.Generator().manual_seed(one) for one in several]
        generator = generators if isinstance(seed, list) else generators[0]
        packed = QwenImagePipeline.prepare_latents(
            theirs, 2, 16, rows, cols, torch.float32, torch.device("cpu"), generator
        )
        latents = QwenImagePipeline._unpack_latents(packed, rows, cols, 8).squeeze(2)
        yield tensor(f"the noise of seed {seed}", latents, within("noise"), False)


def picture(_, pocket: Path) -> Iterator[Comparison]:
    yield partial(_same_picture, _painted(pocket))


def _painted(pocket: Path) -> np.ndarray:
    pipe = _pipeline(pocket)
    theirs = QwenImagePipeline(
        reference_scheduler(pipe.scheduler),
        copy_weights(pipe.vae, reference_vae(pipe.vae.config)),
        None,
        None,
        copy_weights(pipe.transformer, reference_mmdit(pipe.transformer.config)),
    )
    theirs.set_progress_bar_config(disable=True)
    (cond, cond_mask), (uncond, uncond_mask) = (
        _states(pocket, [prompt]) for prompt in (PROMPTS[0], " ")
    )
    return theirs(
        prompt_embeds=cond,
        prompt_embeds_mask=cond_mask,
        negative_prompt_embeds=uncond,
        negative_prompt_embeds_mask=uncond_mask,
        true_cfg_scale=4.0,
        num_inference_steps=STEPS,
        generator=torch.Generator().manual_seed(SEED),
        output_type="np",
        **SIZE,
    ).images[0]


def _same_picture(theirs: np.ndarray, ours) -> str:
    if not isinstance(ours, torch.Tensor) or ours.shape != theirs.shape:
        return f"parts from the reference at the picture: {short(ours)}, not {theirs.shape}"
    gap, bound = np.abs(ours.numpy() / 255 - theirs).mean().item(), within("picture")
    if gap <= bound:
        return ""
    return (
        f"parts from the reference by {255 * gap:.1f}/255 in the mean (tolerance {255 * bound:.0f})"
    )
