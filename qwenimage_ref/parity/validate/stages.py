"""The stages of `qwenimage validate`: each feeds ours what the reference is fed, and judges.

A stage yields its rows as it goes, and returns what the next is fed: the reference's numbers.
"""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from tqdm import tqdm
from transformers import AutoTokenizer

from ...checkpoint.verify import verify
from ...config import SchedulerConfig
from ...files import CheckpointError, shorten
from ...pipeline import QwenImage
from ...repository import ROOT
from ...sampler import euler_step, guide, model_time, pack, sigmas
from ...tokenizer import T2I, Tokenizer
from ..tolerances import within
from ..trace import difference, trace
from .report import Judge, found, largest
from .sides import Pair, Sides, Walk, stack_pair, text_pair, their_whole_stack, vae_pair

GOLDEN = ROOT / "tests" / "golden" / "tokens.json"
LONGEST, DROPPED = 34 + 1024, 34  # tokens: what upstream reads of a prompt, and the template's
STEPS, STEP = 20, 14  # of the schedule, and the one that is taken: at 256x256 from sigma .38
GUIDANCE = 4.0
PICTURE_STEPS = 8


def verify_stage(sides: Sides, hash: bool):
    """The layout of both folders -> whether ours is a release whose files are published"""
    judge = Judge("verify")
    for folder in dict.fromkeys((sides.theirs, sides.ours)):
        report = verify(folder, hash)
        if not report.ok:
            raise CheckpointError(
                f"{len(report.findings)} things are wrong with {folder}: "
                f"{shorten(report.findings)}; `qwenimage verify` says the same in full"
            )
        what = f"{len(report.files)} files, {report.bytes:,} bytes, findings"
        yield judge.row(what, len(report.findings), 0)
    sides.demand_one_form()
    return report.published  # of ours, which come last


# -- words ----------------------------------------------------------------------------------------


def tokenizer_stage(sides: Sides, prompts: list[str]):
    """Golden prompts and others through both tokenizers -> the reference's ids of `prompts`"""
    judge = Judge("tokenizer")
    if not GOLDEN.is_file():
        raise CheckpointError(
            f"{GOLDEN.name} with the golden prompts is in the repository; run from a clone of it"
        )
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"].values()
    published = {_text(case): case["t2i_full_ids"] for case in cases if "prompt" in case}
    ours = Tokenizer.load(sides.ours / "tokenizer")
    theirs = AutoTokenizer.from_pretrained(sides.theirs / "tokenizer", local_files_only=True)

    def row(what, texts, expected):
        wrong = [text for text, ids in zip(texts, expected) if ours.encode_prompt(text) != ids]
        parts_at = f"the prompt {wrong[0][:40]!r}" if wrong else ""
        return judge.row(what, len(wrong), within("tokens"), parts_at=parts_at)

    texts = [*published, *prompts]
    filled = [T2I.format(text) for text in texts]
    expected = [theirs(text, max_length=LONGEST, truncation=True).input_ids for text in filled]
    yield row(f"{len(texts)} prompts, those with other ids", texts, expected)
    if ours.encode_prompt("") == published[""]:  # it is the official vocabulary
        yield row(f"{len(published)} prompts, other ids than published", *zip(*published.items()))
    return expected[-len(prompts) :]


def _text(case: dict) -> str:
    """The prompt of a golden case; a long one is stored as what it repeats."""
    prompt = case["prompt"]
    return prompt if isinstance(prompt, str) else prompt["repeat"] * prompt["times"]


def text_stage(sides: Sides, prompts: list[list[int]]):
    """Both language towers on each prompt's ids -> the reference's states, template dropped"""
    calls = [{"ids": torch.tensor([ids], device=sides.device)} for ids in prompts]
    judge = Judge("text states", partial(sides.differing, "text_encoder"))
    outputs = yield from _walk(judge, "text layer", sides.dtype, text_pair(sides), calls)
    return [theirs[:, DROPPED:] for _, theirs in outputs]


# -- pictures -------------------------------------------------------------------------------------


def vae_stage(sides: Sides, img: torch.Tensor):
    """A picture (1, 3, H, W) encoded, its latents decoded -> both VAEs, the reference's latents"""
    ours, theirs = vae_pair(sides)
    judge = Judge("vae", partial(sides.differing, "vae"))

    def traced(what: str, inputs: dict):
        bound = within(f"vae {what}", sides.dtype)
        one = trace(ours, theirs, inputs, bound)
        # other kernels: inside, last bits are magnified and die down again, so the output is judged
        inside = within("vae inside", sides.dtype)
        kept = [row for row in one.rows if row.name == "output" or not row.relative <= inside]
        one = replace(one, rows=kept)
        return one.outputs[1][0], judge.worst(f"{what}, every module", [found(one)], bound)

    mean, row = traced("encode", {"img": img.to(sides.device, sides.dtype)})
    yield row
    _, row = traced("decode", {"z": mean})
    yield row
    return (ours, theirs), ours.normalize(mean)


# -- the stack ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step in the middle of the schedule, as the reference's sampler takes it."""

    scheduler: FlowMatchEulerDiscreteScheduler
    x: torch.Tensor  # (1, I, 64) noisy latents
    time: torch.Tensor  # (1,) what the transformer is told
    grids: list
    target: torch.Tensor  # (1, I, 64) noise - latents: what a perfect transformer would answer


def schedule_stage(sides: Sides, latents: torch.Tensor):
    """Latents (1, C, h, w) -> the Step from them, noised"""
    judge = Judge("sampler")
    config = SchedulerConfig.from_json(sides.ours / "scheduler" / "scheduler_config.json")
    theirs = _scheduler(sides)
    _, C, h, w = latents.shape
    numbers = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    shift = calculate_shift(h * w // 4, *(theirs.config[name] for name in numbers))
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS), mu=shift)
    off = difference(sigmas(STEPS, h * w // 4, config), theirs.sigmas)[0]
    yield judge.row(f"{STEPS + 1} noise levels, absolute", off, within("sigmas"))

    sigma = theirs.sigmas[STEP].to(sides.device)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(latents)
    noisy = ((1 - sigma) * latents.float() + sigma * noise.float()).to(sides.dtype)
    x = QwenImagePipeline._pack_latents(noisy, 1, C, h, w)
    time = theirs.timesteps[STEP].to(sides.device, sides.dtype) / 1000
    off = largest([difference(pack(noisy), x)[0], difference(model_time(sigma, x.dtype), time)[0]])
    yield judge.row("tokens and the time that is told, absolute", off, within("times bf16"))
    return Step(theirs, x, time.expand(1), [(1, h // 2, w // 2)], pack(noise - latents))


def stack_stage(sides: Sides, step: Step, states: list[torch.Tensor]):
    """Both transformers on each prompt's states -> pairs of velocities, ours and the reference's"""
    shared = {"img": step.x, "sigma": step.time, "grids": step.grids}
    calls = [shared | {"txt": txt} for txt in states]
    judge = Judge("stack", partial(sides.differing, "transformer"))
    return (yield from _walk(judge, "block", sides.dtype, stack_pair(sides), calls))


def step_stage(sides: Sides, step: Step, velocities: list[tuple]):
    """Guidance and one Euler step on the velocities with and without the prompt."""
    judge = Judge("guided step")
    (our_cond, cond), (our_uncond, uncond) = velocities
    ours = guide(our_cond, our_uncond, GUIDANCE)
    # the formula of diffusers' pipeline
    combined = uncond + GUIDANCE * (cond - uncond)
    theirs = combined * (cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True))
    bound = within("guided step", sides.dtype)
    yield judge.row("guided velocity, ours running free", difference(ours, theirs)[1], bound)
    levels = step.scheduler.sigmas[STEP : STEP + 2].to(sides.device)
    ours = euler_step(step.x, ours, *levels)
    time = step.scheduler.timesteps[STEP]
    theirs = step.scheduler.step(theirs, time, step.x, return_dict=False)[0]
    yield judge.row("one Euler step along it", difference(ours, theirs)[1], bound)


def picture_stage(sides: Sides, prompts: list[str], states: list[torch.Tensor], vae, side: int):
    """A whole picture, both running free from one seed: kernels that round otherwise part them.

    Ours streams its weights; the reference has its own VAE and states of the prompts.
    """
    judge = Judge("picture")
    pipe = QwenImage.from_pretrained(sides.ours, sides.dtype, sides.device, stream=True)
    made = pipe(*prompts, GUIDANCE, side, side, PICTURE_STEPS, seed=0)[0]
    ours = np.asarray(made) / 255
    pipe = QwenImagePipeline(_scheduler(sides), vae, None, None, their_whole_stack(sides))
    pipe.set_progress_bar_config(disable=True)
    cond, uncond = states
    theirs = pipe(
        prompt_embeds=cond,
        prompt_embeds_mask=torch.ones(cond.shape[:2], device=sides.device),
        negative_prompt_embeds=uncond,
        negative_prompt_embeds_mask=torch.ones(uncond.shape[:2], device=sides.device),
        true_cfg_scale=GUIDANCE,
        height=side,
        width=side,
        num_inference_steps=PICTURE_STEPS,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    psnr = -10 * np.log10(np.mean((ours - theirs) ** 2))
    off, bound = np.abs(ours - theirs).mean().item(), within("picture", sides.dtype)
    yield judge.row(f"{PICTURE_STEPS} free steps prove little: {psnr:.1f} dB, mean", off, bound)


def _scheduler(sides: Sides) -> FlowMatchEulerDiscreteScheduler:
    folder = sides.theirs / "scheduler"
    return FlowMatchEulerDiscreteScheduler.from_pretrained(folder, local_files_only=True)


# -- walking --------------------------------------------------------------------------------------


def _walk(judge: Judge, name: str, dtype: torch.dtype, pair: Pair, calls: list[dict]):
    """Before the layers, every layer, after them, and the whole -> both outputs of each call

    name: of a layer in the table of tolerances; the whole is there under the name of the stage.
    """
    bound, word = within(name, dtype), name.split()[-1]
    walk, every = Walk(pair, calls, bound), []
    shown = {0, pair.depth // 2, pair.depth - 1}
    yield judge.worst(f"before the {word}s", [found(one) for one in walk.enter()], bound)
    for i in tqdm(range(pair.depth), desc=judge.stage, unit=word, leave=False, disable=None):
        single = Judge(judge.stage, judge.differing)
        step = [found(one, f"{pair.layers}.{i}") for one in walk.step(i)]
        every += step
        if i in shown:
            yield single.worst(f"{word} {i}", step, bound)
    yield judge.worst(f"all {pair.depth} {word}s, fed the reference's input", every, bound)
    traces, outputs = walk.leave()
    yield judge.worst(f"after the {word}s", [found(one) for one in traces], bound)
    off = largest(difference(ours, theirs)[1] for ours, theirs in outputs)
    yield judge.row("the whole, ours running free", off, within(judge.stage, dtype))
    return outputs
