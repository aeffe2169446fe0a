"""Single measurements of LoRA training, each run by lora.py in a process of its own.

python -m qwenimage_ref.parity.bench.lora_tasks TASK ...     prints one line of JSON
"""

import contextlib
import hashlib
import importlib.metadata
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from ...adapt import lora
from ...checkpoint.model_folder import empty_network
from ...config import MMDiTConfig
from ...load import load_weights
from ...mmdit import MMDiT
from ...posters.draw import draw, sample_scene
from ...train.dataset import Encoded
from ...train.loop import Recipe, Run
from ...train.lora import Settings, loss_of
from ...train.recompute import recompute, training_bytes
from ..reference import copy_weights, random_weights, reference_mmdit, run
from .fresh_process import anonymous_bytes, peak_bytes, peak_rise

# careful: peft is imported only where it is measured, else its memory would count as ours

RANK = 16
TARGETS = lora.TARGETS["DiffSynth"]
TEXT_TOKENS = 64
WIDE = replace(MMDiTConfig.official(), num_layers=1)
STEPS = 3


def with_heads(config: MMDiTConfig, heads: int) -> MMDiTConfig:
    """The config with another number of heads, each 128 wide; the official number is 24."""
    return replace(config, num_attention_heads=heads)


# -- one block, ours and peft's -------------------------------------------------------------------


def base(heads: int, dtype: torch.dtype) -> MMDiT:
    """An MMDiT of one block with random weights that are exact in bf16."""
    with torch.device("meta"):
        mmdit = MMDiT(with_heads(WIDE, heads))
    return random_weights(mmdit.bfloat16(), 0).to(dtype)


def block_inputs(mmdit: MMDiT, side: int, text_tokens: int) -> dict:
    """Arguments of a block in the middle of the network, whose streams need gradients, too."""
    generator, weight = torch.Generator().manual_seed(1), mmdit.proj_out.weight
    img, txt, temb = (
        torch.randn(1, tokens, mmdit.config.inner_dim, generator=generator).to(weight)
        for tokens in (side * side, text_tokens, 1)
    )
    img_rotation, txt_rotation = mmdit.rotations([(1, side, side)], text_tokens)
    return {
        "img": img.requires_grad_(), "txt": txt.requires_grad_(), "temb": temb,
        "img_rotation": img_rotation, "txt_rotation": txt_rotation,
    }  # fmt: skip


def adapted(mmdit: MMDiT) -> tuple[lora.LoRA, dict]:
    """Add our adapter -> the adapter, {layer.part: parameter}

    Both A and B are random, so that both have gradients.
    """
    adapter = lora.inject(mmdit, TARGETS, RANK)
    generator = torch.Generator().manual_seed(2)
    for pair in adapter.pairs.values():
        torch.nn.init.normal_(pair.lora_B, std=0.02, generator=generator)
    weights = {
        f"{name}.{part}": getattr(pair, part)
        for name, pair in adapter.named_pairs().items()
        for part in ("lora_A", "lora_B")
    }
    return adapter, weights


def adapted_by_peft(mmdit: MMDiT) -> tuple:
    """The same with peft on diffusers' network of equal weights -> PeftModel, parameters

    Our network stays without an adapter.
    """
    from peft import LoraConfig, get_peft_model

    adapter, initial = adapted(mmdit)
    layers = list(adapter.named_pairs())
    adapter.remove()
    theirs = copy_weights(mmdit, reference_mmdit(mmdit.config))
    model = get_peft_model(theirs, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers))
    named = dict(model.named_parameters())
    weights = {key: named[f"base_model.model.{key}.default.weight"] for key in initial}
    with torch.no_grad():
        for key, weight in weights.items():
            weight.copy_(initial[key])
    return model, weights


def inject_ours(mmdit: MMDiT):
    """Add our adapter -> a function that calls the block, {layer.part: parameter}"""
    _, weights = adapted(mmdit)
    return lambda inputs: mmdit.transformer_blocks[0](**inputs), weights


def inject_peft(mmdit: MMDiT):
    """The same with peft on diffusers' network of equal weights; ours stays without an adapter."""
    model, weights = adapted_by_peft(mmdit)
    block = model.get_base_model().transformer_blocks[0]
    return lambda inputs: run(block, inputs), weights


SIDES = {"ours": inject_ours, "peft": inject_peft}


def step_of(call: Callable, weights: dict) -> Callable[[dict], dict]:
    """-> a function that does one training step (forward, backward, AdamW) and returns gradients"""
    optimiser = torch.optim.AdamW(weights.values(), lr=1e-4, fused=True)

    def step(inputs: dict) -> dict:
        for tensor in (*weights.values(), inputs["img"], inputs["txt"]):
            tensor.grad = None
        img, txt = call(inputs)
        (img.float().pow(2).mean() + txt.float().pow(2).mean()).backward()
        optimiser.step()
        return {key: weight.grad for key, weight in weights.items()}

    return step


def step_task(who: str, dtype: str, heads: str, side: str) -> dict:
    """The peak memory of one step above that of weights, adapter and moments."""
    mmdit = base(int(heads), getattr(torch, dtype))
    call, weights = SIDES[who](mmdit)
    step = step_of(call, weights)
    step(block_inputs(mmdit, 4, 5))  # loads the kernels and allocates the moments
    inputs = block_inputs(mmdit, int(side), TEXT_TOKENS)
    return {"peak": peak_rise(lambda: step(inputs))}


# -- a whole network, resident or streamed --------------------------------------------------------


def open_base(folder: Path, how: str) -> MMDiT:
    """A folder's transformer in bf16, resident or streamed, with recomputed blocks."""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, folder / "transformer", torch.bfloat16, streamed=how == "streamed")
    recompute(mmdit)
    return mmdit


def examples(mmdit: MMDiT, side: int) -> list[Encoded]:
    """Two random training examples of side x side tokens."""
    generator, width = torch.Generator().manual_seed(3), mmdit.config.joint_attention_dim
    return [
        Encoded(
            torch.randn(16, 2 * side, 2 * side, generator=generator).bfloat16(),
            torch.randn(TEXT_TOKENS, width, generator=generator).bfloat16(),
        )
        for _ in range(2)
    ]


def few_steps(mmdit: MMDiT, side: int, steps: int = STEPS, stop: int | None = None) -> dict:
    """Train an adapter -> median processor seconds of a step, and the adapter's sha256

    stop: the step after which the run is closed and resumed from its saved state.
    """
    recipe = Recipe(steps=steps, batch=1, lr=1e-4, warmup=1, decay_from=1.0, ema=0.0)
    encoded, starts = examples(mmdit, side), []
    loss_at = loss_of(mmdit, encoded, encoded[0].txt, recipe, Settings(rank=RANK))

    def timed_loss(number: int) -> torch.Tensor:
        starts.append(time.process_time())
        return loss_at(number)

    with tempfile.TemporaryDirectory() as folder:
        if stop:
            adapter = lora.inject(mmdit, TARGETS, RANK)
            Run(adapter, recipe, folder).fit(loss_at, until=stop, quiet=True)
            adapter.remove()
        run = Run(lora.inject(mmdit, TARGETS, RANK), recipe, folder)
        run.fit(timed_loss, quiet=True)
    bits = hashlib.sha256()
    for weight in run.weights:
        bits.update(weight.detach().numpy().tobytes())
    seconds = [later - earlier for earlier, later in zip(starts, starts[1:])]
    run.model.remove()
    return {
        "seconds": statistics.median(seconds) if seconds else None,
        "sha256": bits.hexdigest(),
        "parameters": sum(p.numel() for p in run.weights),
    }


def warm_up(config: MMDiTConfig, side: int) -> None:
    """One step with one block of this width, because kernels are compiled for each shape."""
    with torch.device("meta"):
        mmdit = MMDiT(replace(config, num_layers=1))
    mmdit.to_empty(device="cpu").bfloat16()
    with torch.no_grad():
        for parameter in mmdit.parameters():
            parameter.fill_(0.01)
    recompute(mmdit)
    few_steps(mmdit, side, steps=1)


def train_task(folder: str, how: str, side: str) -> dict:
    """A few steps: time, peak memory above the level before, and the formula's estimate."""
    folder, side = Path(folder), int(side)
    warm_up(empty_network(folder, "transformer").config, side)
    before, result = anonymous_bytes(), {}
    mmdit = open_base(folder, how)
    peak = peak_bytes(lambda: result.update(few_steps(mmdit, side))) - before
    parts = training_bytes(mmdit, side**2, TEXT_TOKENS, result["parameters"])
    return result | {"peak": peak, "parts": parts, "predicted": sum(parts.values())}


def resume_task(folder: str, how: str, side: str) -> dict:
    """Whether 2 steps, and 1 step that is resumed for another, give the same bits."""
    mmdit = open_base(Path(folder), how)
    whole, parts = (few_steps(mmdit, int(side), 2, stop)["sha256"] for stop in (None, 1))
    return {"same bits": whole == parts}


def command_task(folder: str) -> dict:
    """`qwenimage train lora` on two pictures of 256x256 pixels, from encoding to the saved file."""
    with tempfile.TemporaryDirectory() as name:
        folder_of_run = Path(name)
        for i in range(2):
            picture = Image.fromarray(draw(sample_scene(i), i)).resize((256, 256))
            picture.save(folder_of_run / f"{i}.png")
            (folder_of_run / f"{i}.txt").write_text("a red circle on a white background")
        before, start = anonymous_bytes(), time.process_time()
        arguments = [
            "--data", folder_of_run, "--weights", folder, "--to", folder_of_run / "my.safetensors",
            "--runs", folder_of_run / "runs", "--steps", 2, "--max-pixels", 256 * 256,
            "--stream", "--recompute",
        ]  # fmt: skip
        (command,) = importlib.metadata.entry_points(group="console_scripts", name="qwenimage")
        main, status = command.load(), []
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            peak = peak_bytes(lambda: status.append(main(["train", "lora", *map(str, arguments)])))
        if status != [0]:
            raise SystemExit(f"the command ended with status {status[0]}")
        seconds = time.process_time() - start
        file = (folder_of_run / "my.safetensors").stat().st_size
    return {"seconds": seconds, "peak": peak - before, "file": file}


TASKS = {"step": step_task, "train": train_task, "resume": resume_task, "command": command_task}

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
