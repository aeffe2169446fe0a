"""DPO steps and GRPO updates at the sizes that `qwenimage bench` chooses, and peaks of memory.

python -m qwenimage_ref.parity.bench.objectives_tasks SIZES    prints one line of JSON

SIZES: the fields of `Sizes`, as JSON. A GRPO update is a round of one group: its rollouts, then its
inner training steps. The reward is the mean of the latents, so that its cost is not included. Of
distillation to one step only the memory is measured.
"""

import ctypes
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from ...adapt import lora
from ...checkpoint.model_folder import empty_network
from ...config import SchedulerConfig
from ...load import load_weights
from ...mmdit import MMDiT
from ...repository import POCKET
from ...train import distill, dmd2, preference
from ...train import lora as flow_matching
from ...train.dataset import Encoded
from ...train.grpo import Reward, Rounds
from ...train.loop import Recipe
from ...train.preference import Comparison, Preference
from ...train.prompts import Prompt, Prompts
from .fresh_process import peak_rise

# careful: neither diffusers nor peft is imported here, else their memory would count as ours

# evaluate/preferred.py's and rewarded.py's choices; with a KL, for which a reference is computed
DPO = Preference(rank=16)  # with a large beta its sigmoid multiplies the rounding of bf16
GRPO = Reward(rank=16, group=8, steps=6, guidance=1.0, inner=1, beta=1.0)
RATE = 1e-4


@dataclass(frozen=True)
class Sizes:
    """What an objective is trained on."""

    pairs: int  # DPO: comparisons a step
    group: int  # GRPO: pictures of the prompt
    steps: int  # GRPO: sampling steps of a picture
    batch: int  # distillation: pictures a step
    grid: tuple[int, int, int]  # image tokens of a picture: frames, rows, columns
    text_tokens: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, h, w) of a picture's latents"""
        _, rows, cols = self.grid
        return 16, 2 * rows, 2 * cols

    def recipe(self, batch: int) -> Recipe:
        return Recipe(steps=1, batch=batch, lr=RATE)

    def rewards(self) -> Reward:
        return replace(GRPO, group=self.group, steps=self.steps)


def pocket() -> MMDiT:
    """The pocket model's transformer in float32"""
    mmdit = empty_network(POCKET, "transformer")
    load_weights(mmdit, POCKET / "transformer", torch.float32)
    return mmdit


def noise(*shape, seed: int) -> torch.Tensor:
    """Normal numbers that are exact in bf16"""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng).bfloat16().float()


def text_states(mmdit: MMDiT, sizes: Sizes) -> torch.Tensor:
    """(T, Dt)"""
    return noise(sizes.text_tokens, mmdit.config.joint_attention_dim, seed=4)


def comparisons(mmdit: MMDiT, sizes: Sizes) -> list[Comparison]:
    """As many as a step has, all of one caption"""
    latents, txt = noise(2 * sizes.pairs, *sizes.shape, seed=5), text_states(mmdit, sizes)
    return [Comparison(*pair, txt) for pair in latents.unflatten(0, (-1, 2))]


def mean_of_latents(latents: torch.Tensor, prompt: str) -> list[float]:
    """A reward that costs nothing"""
    return latents.float().mean((1, 2, 3)).tolist()


def update_of(loss_at: Callable, weights: list, batches: int = 1, inner: int = 1) -> Callable:
    """-> a function that takes `inner` training steps and returns the gradients of the last

    As in train/loop.py, loss_at is given the number of a batch, counted on from step to step, and a
    step averages the gradients of `batches`.
    """
    optimiser, numbers = torch.optim.AdamW(weights, lr=RATE, fused=True), itertools.count()

    def update() -> list[torch.Tensor]:
        for _ in range(inner):
            for number in itertools.islice(numbers, batches):
                (loss_at(number) / batches).backward()
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
            optimiser.step()
            optimiser.zero_grad()
        return grads

    return update


# -- our objectives -------------------------------------------------------------------------------


def dpo_loss_at(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    pairs = comparisons(mmdit, sizes)
    loss_at = preference.loss_of(mmdit, adapter, pairs, sizes.recipe(len(pairs)), DPO)
    return lambda number: loss_at(number)[0]


def grpo_rounds(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes, choices: Reward) -> Rounds:
    txt, official = text_states(mmdit, sizes), SchedulerConfig.official()
    return Rounds(
        mmdit, adapter, [Prompt("", txt)], txt, mean_of_latents, sizes.shape, official,
        sizes.recipe(1), choices,
    )  # fmt: skip


def dpo_step(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    return update_of(dpo_loss_at(mmdit, adapter, sizes), list(adapter.parameters()))


def grpo_update(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    choices = sizes.rewards()
    rounds = grpo_rounds(mmdit, adapter, sizes, choices)
    weights = list(adapter.parameters())
    return update_of(lambda number: rounds(number)[0], weights, sizes.steps, choices.inner)


OURS = {"DPO": dpo_step, "GRPO": grpo_update}


def flow_step(pictures: int, mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    """A step of flow matching on so many pictures, which has neither a reference nor rollouts"""
    txt = text_states(mmdit, sizes)
    examples = [Encoded(each, txt) for each in noise(pictures, *sizes.shape, seed=6)]
    settings = flow_matching.Settings(rank=DPO.rank)
    loss_at = flow_matching.loss_of(mmdit, examples, txt, sizes.recipe(pictures), settings)
    return update_of(loss_at, list(adapter.parameters()))


def distill_step(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    """A step of direct distillation to one sampling step"""
    pictures, txt = noise(sizes.batch, *sizes.shape, seed=7), text_states(mmdit, sizes)
    taught = [distill.Taught(each, txt, seed) for seed, each in enumerate(pictures)]
    recipe = sizes.recipe(sizes.batch)
    loss_at = distill.loss_of(mmdit, taught, recipe, distill.FewSteps(steps=1))
    return update_of(loss_at, list(adapter.parameters()))


def dmd2_steps(mmdit: MMDiT, adapter: lora.LoRA, sizes: Sizes) -> Callable:
    """A step of DMD2's student, which is the adapter, and those of the fake before it"""
    settings, txt = dmd2.Matching(steps=1, rank=DPO.rank), text_states(mmdit, sizes)
    fake = lora.inject(mmdit, lora.TARGETS[settings.targets], settings.rank)
    prompts = Prompts(
        [Prompt("", txt)] * sizes.batch, txt, sizes.shape, sizes.recipe(sizes.batch),
        mmdit.proj_out.weight,
    )  # fmt: skip
    players = dmd2.Players(mmdit, adapter, fake, prompts, settings)
    weights = [*adapter.parameters(), *fake.parameters()]
    return update_of(lambda number: players(number)[0], weights, inner=settings.every)


DISTILLED = {"distill": distill_step, "DMD2": dmd2_steps}


# -- in a fresh process ---------------------------------------------------------------------------


def peaks(sizes: Sizes) -> dict[str, int]:
    """Peak memory of each update of the pocket model above weights, adapters and moments

    "flow, as DPO" is a step of flow matching on the pictures of DPO's step, and so on.
    """
    updates = (
        OURS
        | DISTILLED
        | {
            "flow, as DPO": partial(flow_step, 2 * sizes.pairs),
            "flow, as GRPO": partial(flow_step, sizes.group),
            "flow, as distill": partial(flow_step, sizes.batch),
            "flow, as DMD2": partial(flow_step, sizes.batch),
        }
    )
    results, libc = {}, ctypes.CDLL("libc.so.6")
    for name, make in updates.items():
        mmdit = pocket()
        adapter = lora.inject(mmdit, lora.TARGETS[DPO.targets], DPO.rank)
        update = make(mmdit, adapter, sizes)
        update()  # loads the kernels and allocates the moments
        # careful: freed blocks below malloc's threshold stay resident, and would hold the next peak
        libc.malloc_trim(0)
        results[name] = peak_rise(update)
    return results


if __name__ == "__main__":
    torch.set_num_threads(1)
    fields = json.loads(sys.argv[1])
    print(json.dumps(peaks(Sizes(**fields | {"grid": tuple(fields["grid"])}))))
