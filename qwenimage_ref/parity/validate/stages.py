"""The stages of `qwenimage validate`. Each gives ours and the reference the reference's inputs.

A stage yields its rows and returns the reference's numbers, which are the input of the next stage.
"""

import json
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline
from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift
from PIL import Image
from tqdm import tqdm
from transformers import AutoTokenizer

from ...checkpoint.model_folder import picture_form
from ...checkpoint.verify import verify
from ...config import SchedulerConfig, VisionConfig
from ...files import CheckpointError, shorten
from ...pipeline import QwenImage
from ...repository import ROOT
from ...sampler import euler_step, guide, model_time, pack, sigmas
from ...tokenizer import T2I, Tokenizer
from ...vision import preprocess
from ..record import record, run_ours
from ..reference import run
from ..tolerances import within
from ..trace import compare, difference, trace
from .checkpoints import Checkpoints
from .layerwise import LayerwiseRun
from .pairs import Pair, stack_pair, text_pair, their_whole_stack, vae_pair, vision_towers
from .report import RowBuilder, largest, summary

GOLDEN = ROOT / "tests" / "golden" / "tokens.json"
LONGEST, DROPPED = 34 + 1024, 34  # tokens: the limit of template and prompt; the template's alone
STEPS, STEP = 20, 14  # in the schedule; the one compared, which starts at sigma 0.38 at 256x256
GUIDANCE = 4.0
PICTURE_STEPS = 8


def verify_stage(checkpoints: Checkpoints, hash: bool):
    """The layout of both folders -> whether ours is a release whose hashes are published"""
    builder = RowBuilder("verify")
    for folder in dict.fromkeys((checkpoints.theirs, checkpoints.ours)):
        report = verify(folder, hash)
        if not report.ok:
            raise CheckpointError(
                f"{folder} must be whole, got {len(report.findings)} findings: "
                f"{shorten(report.findings)}; `qwenimage verify` lists them all"
            )
        what = f"{len(report.files)} files, {report.bytes:,} bytes, findings"
        yield builder.row(what, len(report.findings), 0)
    checkpoints.demand_same_layout()
    return report.published  # the last report is about our folder


# -- words ----------------------------------------------------------------------------------------


def tokenizer_stage(checkpoints: Checkpoints, prompts: list[str]):
    """Golden prompts and others through both tokenizers -> the reference's ids of `prompts`"""
    builder = RowBuilder("tokenizer")
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))["cases"].values()
    published = {_text(case): case["t2i_full_ids"] for case in cases if "prompt" in case}
    ours = Tokenizer.load(checkpoints.ours / "tokenizer")
    folder = checkpoints.theirs / "tokenizer"
    theirs = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def row(what, texts, expected):
        wrong = [text for text, ids in zip(texts, expected) if ours.encode_prompt(text) != ids]
        parts_at = f"the prompt {wrong[0][:40]!r}" if wrong else ""
        return builder.row(what, len(wrong), within("tokens"), parts_at=parts_at)

    texts = [*published, *prompts]
    templated = [T2I.format(text) for text in texts]
    expected = [theirs(text, max_length=LONGEST, truncation=True).input_ids for text in templated]
    yield row(f"{len(texts)} prompts, those with other ids", texts, expected)
    if ours.encode_prompt("") == published[""]:  # only the official vocabulary has these ids
        yield row(f"{len(published)} prompts, other ids than published", *zip(*published.items()))
    return expected[-len(prompts) :]


def _text(case: dict) -> str:
    """The prompt of a golden case; a long one is stored as a phrase and its repetitions."""
    prompt = case["prompt"]
    return prompt if isinstance(prompt, str) else prompt["repeat"] * prompt["times"]


def text_stage(checkpoints: Checkpoints, prompts: list[list[int]]):
    """Both language towers on each prompt's ids -> the reference's states without the template"""
    calls = [{"ids": torch.tensor([ids], device=checkpoints.device)} for ids in prompts]
    builder = RowBuilder("text states", partial(checkpoints.differing, "text_encoder"))
    pair = text_pair(checkpoints)
    outputs = yield from _layerwise(builder, "text layer", checkpoints.dtype, pair, calls)
    return [theirs[:, DROPPED:] for _, theirs in outputs]


# -- pictures -------------------------------------------------------------------------------------


def vision_stage(checkpoints: Checkpoints, picture: Image.Image):
    """A picture through both vision towers, of which one is in memory at a time"""
    file = checkpoints.ours / "text_encoder" / "config.json"
    patches, grid = preprocess(picture, VisionConfig.from_json(file))
    inputs = {"patches": patches.to(checkpoints.device, checkpoints.dtype), "grids": [grid]}
    builder = RowBuilder(
        "vision", lambda module: checkpoints.differing("text_encoder", f"visual.{module}")
    )
    bound = within("vision", checkpoints.dtype)
    recorded = []
    for load, call in zip(vision_towers(checkpoints), (run_ours, run)):
        network = load()
        recorded.append(record(network, call, inputs))
        network.to("meta")
    traced = compare(*recorded, bound)
    if checkpoints.dtype == torch.bfloat16:  # inside, bf16 is rounded elsewhere after each sum
        traced = replace(traced, rows=traced.rows[-1:])
    row = builder.worst(f"{grid[1]}x{grid[2]} patches, every module", [summary(traced)], bound)
    # stored under this name
    yield replace(row, parts_at=row.parts_at and f"visual.{row.parts_at}")


def vae_stage(checkpoints: Checkpoints, img: torch.Tensor):
    """A picture (1, 3 or 4, H, W) encoded and decoded -> both VAEs, the reference's latents"""
    ours, theirs = vae_pair(checkpoints)
    builder = RowBuilder("vae", partial(checkpoints.differing, "vae"))

    def compare(what: str, inputs: dict):
        bound = within(f"vae {what}", checkpoints.dtype)
        traced = trace(ours, theirs, inputs, bound)
        # other kernels: inside the VAE rounding errors grow and shrink again, so modules have a
        # wider bound than the output
        inside = within("vae inside", checkpoints.dtype)
        judged = [row for row in traced.rows if row.name == "output" or not row.relative <= inside]
        row = builder.worst(f"{what}, every module", [summary(replace(traced, rows=judged))], bound)
        return traced.outputs[1][0], row

    mean, row = compare("encode", {"img": img.to(checkpoints.device, checkpoints.dtype)})
    yield row
    _, row = compare("decode", {"z": mean})
    yield row
    return (ours, theirs), ours.normalize(mean)


# -- the stack ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step in the middle of the schedule, as the reference's sampler takes it."""

    scheduler: FlowMatchEulerDiscreteScheduler
    x: torch.Tensor  # (1, I, 64) noisy latents
    time: torch.Tensor  # (1,) the transformer's time argument
    grids: list
    target: torch.Tensor  # (1, I, 64) noise - latents, the velocity of a perfect transformer
    clean: torch.Tensor  # (1, I, 64) the latents: to a model that is given one, a condition picture


def schedule_stage(checkpoints: Checkpoints, latents: torch.Tensor):
    """Latents (1, C, h, w) -> the Step that starts from them with noise"""
    builder = RowBuilder("sampler")
    file = checkpoints.ours / "scheduler" / "scheduler_config.json"
    theirs = _scheduler(checkpoints)
    _, C, h, w = latents.shape
    shift = _their_shift(theirs, h * w // 4)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / STEPS, STEPS), mu=shift)
    ours = sigmas(STEPS, h * w // 4, SchedulerConfig.from_json(file))
    off = difference(ours, theirs.sigmas)[0]
    yield builder.row(f"{STEPS + 1} noise levels, absolute", off, within("sigmas"))

    sigma = theirs.sigmas[STEP].to(checkpoints.device)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(latents)
    noisy = ((1 - sigma) * latents.float() + sigma * noise.float()).to(checkpoints.dtype)
    x = QwenImagePipeline._pack_latents(noisy, 1, C, h, w)
    time = theirs.timesteps[STEP].to(checkpoints.device, checkpoints.dtype) / 1000
    off = largest([difference(pack(noisy), x)[0], difference(model_time(sigma, x.dtype), time)[0]])
    yield builder.row("tokens and the time argument, absolute", off, within("times bf16"))
    grids, target = [(1, h // 2, w // 2)], pack(noise - latents)
    return Step(theirs, x, time.expand(1), grids, target, pack(latents))


def stack_stage(checkpoints: Checkpoints, step: Step, states: list[torch.Tensor]):
    """Both transformers on each prompt's states -> pairs of velocities, ours and the reference's

    Those of models that are given pictures get one beside the noise, too.
    """
    shared = {"img": step.x, "sigma": step.time, "grids": step.grids}
    if picture_form(checkpoints.ours) is not None:
        shared["img"] = torch.cat([step.x, step.clean.to(step.x)], dim=1)
        shared["grids"] = 2 * step.grids
    calls = [shared | {"txt": txt} for txt in states]
    builder = RowBuilder("stack", partial(checkpoints.differing, "transformer"))
    pair = stack_pair(checkpoints)
    return (yield from _layerwise(builder, "block", checkpoints.dtype, pair, calls))


def step_stage(checkpoints: Checkpoints, step: Step, velocities: list[tuple]):
    """Guidance and one Euler step on the velocities with and without the prompt."""
    builder = RowBuilder("guided step")
    (our_cond, cond), (our_uncond, uncond) = velocities
    ours = guide(our_cond, our_uncond, GUIDANCE)
    # the formula of diffusers' pipeline
    combined = uncond + GUIDANCE * (cond - uncond)
    theirs = combined * (cond.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True))
    bound = within("guided step", checkpoints.dtype)
    yield builder.row("guided velocity, ours running free", difference(ours, theirs)[1], bound)
    levels = step.scheduler.sigmas[STEP : STEP + 2].to(checkpoints.device)
    ours = euler_step(step.x, ours, *levels)
    time = step.scheduler.timesteps[STEP]
    theirs = step.scheduler.step(theirs, time, step.x, return_dict=False)[0]
    yield builder.row("one Euler step along it", difference(ours, theirs)[1], bound)


def picture_stage(checkpoints: Checkpoints, prompts: list[str], states, vae, side: int):
    """A whole picture by both, running free from one seed, so that rounding errors accumulate.

    Ours streams its weights; the reference has its own VAE and its own states of the prompts.
    """
    builder = RowBuilder("picture")
    pipe = QwenImage.from_pretrained(
        checkpoints.ours, checkpoints.dtype, checkpoints.device, stream=True
    )
    picture = pipe(*prompts, GUIDANCE, side, side, PICTURE_STEPS, seed=0)[0]
    ours = np.asarray(picture) / 255
    stack = their_whole_stack(checkpoints)
    pipe = QwenImagePipeline(_scheduler(checkpoints), vae, None, None, stack)
    pipe.set_progress_bar_config(disable=True)
    cond, uncond = states
    theirs = pipe(
        prompt_embeds=cond,
        prompt_embeds_mask=torch.ones(cond.shape[:2], device=checkpoints.device),
        negative_prompt_embeds=uncond,
        negative_prompt_embeds_mask=torch.ones(uncond.shape[:2], device=checkpoints.device),
        true_cfg_scale=GUIDANCE,
        height=side,
        width=side,
        num_inference_steps=PICTURE_STEPS,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    psnr = -10 * np.log10(np.mean((ours - theirs) ** 2))
    off, bound = np.abs(ours - theirs).mean().item(), within("picture", checkpoints.dtype)
    yield builder.row(f"{PICTURE_STEPS} free steps prove little: {psnr:.1f} dB, mean", off, bound)


def _their_shift(scheduler: FlowMatchEulerDiscreteScheduler, tokens: int) -> float:
    """What diffusers' pipelines pass on, text to image or layered"""
    if scheduler.config.time_shift_type == "linear":
        return (tokens / (256 * 256 / 16 / 16)) ** 0.5
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    return calculate_shift(tokens, *(scheduler.config[name] for name in names))


def _scheduler(checkpoints: Checkpoints) -> FlowMatchEulerDiscreteScheduler:
    folder = checkpoints.theirs / "scheduler"
    return FlowMatchEulerDiscreteScheduler.from_pretrained(folder, local_files_only=True)


# -- layer by layer -------------------------------------------------------------------------------


def _layerwise(builder: RowBuilder, name: str, dtype: torch.dtype, pair: Pair, calls: list[dict]):
    """Before the layers, every layer, after them, and the whole -> both outputs of each call

    name: the layers' entry in the table of tolerances; the whole has that of the stage.
    """
    bound, word = within(name, dtype), name.split()[-1]
    run, every = LayerwiseRun(pair, calls, bound), []
    shown = {0, pair.depth // 2, pair.depth - 1}
    before = [summary(traced) for traced in run.before_layers()]
    yield builder.worst(f"before the {word}s", before, bound)
    for i in tqdm(range(pair.depth), desc=builder.stage, unit=word, leave=False, disable=None):
        single = RowBuilder(builder.stage, builder.differing)
        layer = [summary(traced, f"{pair.path}.{i}") for traced in run.layer(i)]
        every += layer
        if i in shown:
            yield single.worst(f"{word} {i}", layer, bound)
    yield builder.worst(f"all {pair.depth} {word}s, fed the reference's input", every, bound)
    traces, outputs = run.after_layers()
    yield builder.worst(f"after the {word}s", [summary(traced) for traced in traces], bound)
    off = largest(difference(ours, theirs)[1] for ours, theirs in outputs)
    yield builder.row("the whole, ours running free", off, within(builder.stage, dtype))
    return outputs
