"""Each mode of `qwenimage train` on random data, and the bytes that it allocates."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.live_memory import LiveMemory
from qwenimage_ref.config import MMDiTConfig, SchedulerConfig
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.train import (
    control,
    differential,
    distill,
    dmd2,
    full,
    grpo,
    lora,
    preference,
)
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.memory import Sizes
from qwenimage_ref.train.preference import Comparison
from qwenimage_ref.train.prompts import Prompt
from qwenimage_ref.train.recompute import recompute


@dataclass(frozen=True)
class Case:
    """A mode, what it chooses, and how many steps it takes until all that it holds was there."""

    mode: str
    choices: object
    train: Callable  # mmdit, data, empty, recipe, choices, folder
    batch: int = 1
    steps: int = 2


class Data:
    """Random examples of one size, as each mode needs them"""

    def __init__(self, sizes: Sizes):
        side = 2 * round(sizes.image_tokens**0.5)
        self.shape = 16, side, side
        width = sizes.config.joint_attention_dim
        self.txt = torch.randn(sizes.text_tokens, width)
        self.latents = list(torch.randn(8, *self.shape))
        self.examples = [Encoded(each, self.txt) for each in self.latents]
        self.prompts = [Prompt("", self.txt)] * 8

    def comparisons(self) -> list[Comparison]:
        return [Comparison(*pair, self.txt) for pair in zip(self.latents[::2], self.latents[1::2])]

    def taught(self) -> list[distill.Taught]:
        return [distill.Taught(each, self.txt, seed) for seed, each in enumerate(self.latents)]


def _lora(mmdit, data, *rest):
    lora.train(mmdit, data.examples, data.txt, *rest, quiet=True)


def _full(mmdit, data, *rest):
    full.train(mmdit, data.examples, data.txt, *rest, quiet=True)


def _control(mmdit, data, *rest):
    control.train(mmdit, data.examples, data.latents, data.txt, *rest, quiet=True)


def _dpo(mmdit, data, *rest):
    preference.train(mmdit, data.comparisons(), *rest, quiet=True)


def _grpo(mmdit, data, *rest):
    def judge(latents, prompt: str) -> list[float]:
        return list(range(len(latents)))

    scheduler = SchedulerConfig.official()
    grpo.train(mmdit, data.prompts, data.txt, judge, data.shape, scheduler, *rest, quiet=True)


def _distill(mmdit, data, *rest):
    distill.train(mmdit, data.taught(), *rest, lora.Adapter(), quiet=True)


def _imitate(mmdit, data, *rest):
    distill.train_imitation(mmdit, data.prompts, data.txt, data.shape, *rest, quiet=True)


def _dmd2(mmdit, data, *rest):
    prompts = data.prompts, data.txt, data.shape
    dmd2.train(mmdit, *prompts, *rest, real=data.examples, quiet=True)


def _differential(mmdit, data, *rest):
    half = data.examples[::2], data.examples[1::2]
    differential.train(mmdit, *half, data.txt, *rest, quiet=True)


CASES = {
    "lora": Case("lora", lora.Settings(), _lora, batch=2),
    "lora, accumulated": Case("lora", lora.Settings(accumulate=2), _lora),
    "full": Case("full", lora.Flow(), _full),
    "control": Case("control", lora.Flow(), _control, batch=2),
    "dpo": Case("dpo", preference.Preference(), _dpo),
    "grpo": Case("grpo", grpo.Reward(group=2, steps=2, inner=1), _grpo),
    "grpo, unguided": Case("grpo", grpo.Reward(group=3, steps=2, inner=1, guidance=1), _grpo),
    "distill": Case("distill", distill.FewSteps(steps=3), _distill),
    "imitate": Case("imitate", distill.Imitation(steps=3, between=1), _imitate),
    "dmd2": Case("dmd2", dmd2.Matching(steps=2, every=2), _dmd2, steps=4),
    "dmd2, judged": Case(
        "dmd2", dmd2.Matching(steps=1, every=2, adversarial=0.01), _dmd2, batch=2, steps=4
    ),
    "differential": Case("differential", lora.Settings(), _differential),
}


def network(config: MMDiTConfig, dtype: torch.dtype, again: bool) -> MMDiT:
    """Of weights that keep numbers small. again: its blocks are recomputed"""
    with torch.device("meta"):
        mmdit = MMDiT(config).to(dtype)
    mmdit.to_empty(device="cpu").requires_grad_(False)
    for parameter in mmdit.parameters():
        parameter.fill_(1e-3)
    if again:
        recompute(mmdit)
    return mmdit


def allocated(case: Case, mmdit: MMDiT, sizes: Sizes, folder: Path) -> int:
    """-> the most bytes that a training held at once, beyond the network and the data"""
    data = Data(sizes)
    recipe = Recipe(steps=case.steps, batch=case.batch, lr=1e-4)
    with LiveMemory() as live:
        case.train(mmdit, data, recipe, case.choices, folder)
    return live.peak
