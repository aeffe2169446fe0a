"""What one process measures of LoRA training, so that its memory is its own; run by lora_bench.

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
from .fresh_process import most, own, rise

# careful: peft is imported only where it is measured, so that it is not in the memory of ours

RANK = 16
TARGETS = lora.TARGETS["DiffSynth"]
TEXT_TOKENS = 64
WIDE = replace(MMDiTConfig.official(), num_layers=1)
STEPS = 3


def with_heads(config: MMDiTConfig, heads: int) -> MMDiTConfig:
    """The same with a width of 128 a head; 24 is the official number."""
    return replace(config, num_attention_heads=heads)


# -- one block, ours and peft's -------------------------------------------------------------------


def base(heads: int, dtype: torch.dtype) -> MMDiT:
    """One block and what is around it, of numbers that bf16 can hold."""
    with torch.device("meta"):
        mmdit = MMDiT(with_heads(WIDE, heads))
    return random_weights(mmdit.bfloat16(), 0).to(dtype)


def block_inputs(mmdit: MMDiT, side: int, text_tokens: int) -> dict:
    """What a block in the middle of the network is told: its streams ask for gradients, too."""
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


def hang_ours(mmdit: MMDiT):
    """-> the block, called with our arguments, and {layer.part: parameter}; A and B both drawn"""
    hung = lora.inject(mmdit, TARGETS, RANK)
    generator = torch.Generator().manual_seed(2)
    for pair in hung.pairs.values():
        torch.nn.init.normal_(pair.lora_B, std=0.02, generator=generator)
    weights = {
        f"{name}.{part}": getattr(pair, part)
        for name, pair in hung.named_pairs().items()
        for part in ("lora_A", "lora_B")
    }
    return lambda inputs: mmdit.transformer_blocks[0](**inputs), weights


def hang_peft(mmdit: MMDiT):
    """The same of peft, on diffusers' network with the same weights; ours is left without."""
    from peft import LoraConfig, get_peft_model

    _, drawn = hang_ours(mmdit)
    (hung,) = lora.adapters(mmdit)
    layers = list(hung.named_pairs())
    hung.remove()
    theirs = copy_weights(mmdit, reference_mmdit(mmdit.config))
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers)
    named = dict(get_peft_model(theirs, config).named_parameters())
    weights = {key: named[f"base_model.model.{key}.default.weight"] for key in drawn}
    with torch.no_grad():
        for key, weight in weights.items():
            weight.copy_(drawn[key])
    return lambda inputs: run(theirs.transformer_blocks[0], inputs), weights


SIDES = {"ours": hang_ours, "peft": hang_peft}


def step_of(call: Callable, weights: dict) -> Callable[[dict], dict]:
    """-> one training step: forward, backward, AdamW; it returns the gradients"""
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
    """How far memory rises in one step above weights, adapter and moments, all there before."""
    mmdit = base(int(heads), getattr(torch, dtype))
    call, weights = SIDES[who](mmdit)
    step = step_of(call, weights)
    step(block_inputs(mmdit, 4, 5))  # gets the code of the kernels, and the moments
    inputs = block_inputs(mmdit, int(side), TEXT_TOKENS)
    return {"peak": rise(lambda: step(inputs))}


# -- a whole network, resident or streamed --------------------------------------------------------


def open_base(folder: Path, how: str) -> MMDiT:
    """A folder's transformer in bf16, ready to be trained with recomputed blocks"""
    mmdit = empty_network(folder, "transformer")
    load_weights(mmdit, folder / "transformer", torch.bfloat16, streamed=how == "streamed")
    recompute(mmdit)
    return mmdit


def examples(mmdit: MMDiT, side: int) -> list[Encoded]:
    """Two drawn ones of side x side tokens"""
    generator, width = torch.Generator().manual_seed(3), mmdit.config.joint_attention_dim
    return [
        Encoded(
            torch.randn(16, 2 * side, 2 * side, generator=generator).bfloat16(),
            torch.randn(TEXT_TOKENS, width, generator=generator).bfloat16(),
        )
        for _ in range(2)
    ]


def few_steps(mmdit: MMDiT, side: int, steps: int = STEPS, stop: int | None = None) -> dict:
    """Train an adapter -> median seconds of the processor a step, and the adapter's sha256

    stop: the step after which everything is let go and taken up again from the saved state.
    """
    recipe = Recipe(steps=steps, batch=1, lr=1e-4, warmup=1, decay_from=1.0, ema=0.0)
    shown, begun = examples(mmdit, side), []
    loss_at = loss_of(mmdit, shown, shown[0].txt, recipe, Settings(rank=RANK))

    def noted(number: int) -> torch.Tensor:
        begun.append(time.process_time())
        return loss_at(number)

    with tempfile.TemporaryDirectory() as folder:
        if stop:
            hung = lora.inject(mmdit, TARGETS, RANK)
            Run(hung, recipe, folder).fit(loss_at, until=stop, quiet=True)
            hung.remove()
        run = Run(lora.inject(mmdit, TARGETS, RANK), recipe, folder)
        run.fit(noted, quiet=True)
    bits = hashlib.sha256()
    for weight in run.weights:
        bits.update(weight.detach().numpy().tobytes())
    took = [later - earlier for earlier, later in zip(begun, begun[1:])]
    run.model.remove()
    return {
        "seconds": statistics.median(took) if took else None,
        "sha256": bits.hexdigest(),
        "parameters": sum(p.numel() for p in run.weights),
    }


def warm_up(config: MMDiTConfig, side: int) -> None:
    """A step of one block of this width: kernels keep what they were compiled to for each shape."""
    with torch.device("meta"):
        mmdit = MMDiT(replace(config, num_layers=1))
    mmdit.to_empty(device="cpu").bfloat16()
    with torch.no_grad():
        for parameter in mmdit.parameters():
            parameter.fill_(0.01)
    recompute(mmdit)
    few_steps(mmdit, side, steps=1)


def train_task(folder: str, how: str, side: str) -> dict:
    """A few steps: time, the most memory above what was held before, and what the formula says."""
    folder, side = Path(folder), int(side)
    warm_up(empty_network(folder, "transformer").config, side)
    before, found = own(), {}
    mmdit = open_base(folder, how)
    peak = most(lambda: found.update(few_steps(mmdit, side))) - before
    parts = training_bytes(mmdit, side**2, TEXT_TOKENS, found["parameters"])
    return found | {"peak": peak, "parts": parts, "predicted": sum(parts.values())}


def resume_task(folder: str, how: str, side: str) -> dict:
    """Whether 2 steps and 1 + 1 end in the same bits"""
    mmdit = open_base(Path(folder), how)
    whole, parts = (few_steps(mmdit, int(side), 2, stop)["sha256"] for stop in (None, 1))
    return {"same bits": whole == parts}


def command_task(folder: str) -> dict:
    """`qwenimage train lora` on two pictures of 256x256 pixels, from encoding to the file"""
    with tempfile.TemporaryDirectory() as made:
        made = Path(made)
        for i in range(2):
            picture = Image.fromarray(draw(sample_scene(i), i)).resize((256, 256))
            picture.save(made / f"{i}.png")
            (made / f"{i}.txt").write_text("a red circle on a white background")
        before, began = own(), time.process_time()
        arguments = [
            "--data", made, "--weights", folder, "--to", made / "my.safetensors", "--runs",
            made / "runs", "--steps", 2, "--max-pixels", 256 * 256, "--stream", "--recompute",
        ]  # fmt: skip
        (command,) = importlib.metadata.entry_points(group="console_scripts", name="qwenimage")
        main, status = command.load(), []
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            peak = most(lambda: status.append(main(["train", "lora", *map(str, arguments)])))
        if status != [0]:
            raise SystemExit(f"the command ended with status {status[0]}")
        seconds, file = time.process_time() - began, (made / "my.safetensors").stat().st_size
    return {"seconds": seconds, "peak": peak - before, "file": file}


TASKS = {"step": step_task, "train": train_task, "resume": resume_task, "command": command_task}

if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(TASKS[sys.argv[1]](*sys.argv[2:])))
