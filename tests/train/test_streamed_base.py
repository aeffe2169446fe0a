"""The base on disk, a block at a time: every objective has the gradients of one in memory."""

from functools import partial

import pytest
import torch
from helpers.few_examples import EMPTY, SHAPE, examples, prompts, taught
from helpers.nets import SMALL, filled, model

from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint import save
from qwenimage_ref.config import SchedulerConfig
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.train import control, distill, dmd2, preference
from qwenimage_ref.train import lora as flow_matching
from qwenimage_ref.train.adversary import Judge, RealPictures
from qwenimage_ref.train.grpo import Reward, Rounds
from qwenimage_ref.train.prompts import Prompts
from qwenimage_ref.train.recipe import Recipe
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=4, batch=2, lr=1e-3)
SMALL_LORA = {"rank": 2, "targets": "musubi"}


def adapted(mmdit, seed=3):
    return filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2), seed)


def drawn(mmdit) -> Prompts:
    return Prompts(prompts(), EMPTY, SHAPE, RECIPE, mmdit.proj_out.weight)


def _lora(mmdit):
    settings = flow_matching.Settings(**SMALL_LORA, dropout=0.3)
    return adapted(mmdit), flow_matching.loss_of(mmdit, examples(), EMPTY, RECIPE, settings)(0)


def _dpo(mmdit):
    adapter, both = adapted(mmdit), examples()
    pairs = [preference.Comparison(a.latents, b.latents, a.txt) for a, b in zip(both, both[::-1])]
    settings = preference.Preference(**SMALL_LORA)
    return adapter, preference.loss_of(mmdit, adapter, pairs, RECIPE, settings)(0)[0]


def _grpo(mmdit):
    adapter, settings = adapted(mmdit), Reward(**SMALL_LORA, group=3, steps=3, guidance=2.0)
    official = SchedulerConfig.official()

    def brightness(latents, prompt):
        return latents.mean((1, 2, 3)).tolist()

    data = prompts(), EMPTY, brightness, SHAPE, official
    return adapter, Rounds(mmdit, adapter, *data, RECIPE, settings)(0)[0]


def _distill(mmdit):
    loss_at = distill.loss_of(mmdit, taught(), RECIPE, distill.FewSteps(steps=2))
    return adapted(mmdit), loss_at(0)


def _imitate(mmdit):
    adapter, settings = adapted(mmdit), distill.Imitation(**SMALL_LORA, steps=2, between=2)
    return adapter, distill.imitation_of(mmdit, adapter, drawn(mmdit), settings)(0)


def _dmd2(mmdit, number: int, adversarial: float):
    student, fake, real = adapted(mmdit), adapted(mmdit, seed=4), None
    trained = torch.nn.ModuleDict({"student": student, "fake": fake})
    if adversarial:
        trained["judge"] = Judge(mmdit.config.inner_dim, seed=5)
        trained["judge"].out.weight.data.fill_(0.1)
        real = RealPictures(examples(), SHAPE, RECIPE, mmdit.proj_out.weight)
    settings = dmd2.Matching(**SMALL_LORA, steps=2, every=3, adversarial=adversarial)
    judge = trained["judge"] if adversarial else None
    each = dmd2.Players(mmdit, student, fake, drawn(mmdit), settings, judge, real)
    return trained, each(number)[0]


def _control(mmdit):
    network = control.new_network(mmdit, seed=1)
    for block in network.controlnet_blocks:
        block.output_proj.weight.data.fill_(0.01)
    pictures = [one.latents + 1 for one in examples()]
    data = examples(), pictures, EMPTY
    return network, control.loss_of(mmdit, network, *data, RECIPE, flow_matching.Flow())(0)


OBJECTIVES = {
    "lora": _lora,
    "dpo": _dpo,
    "grpo": _grpo,
    "distill": _distill,
    "imitate": _imitate,
    "dmd2, the fake's step": partial(_dmd2, number=0, adversarial=0.0),
    "dmd2, the student's step": partial(_dmd2, number=2, adversarial=0.0),
    "dmd2, fake and judge": partial(_dmd2, number=0, adversarial=0.5),
    "dmd2, the student judged": partial(_dmd2, number=2, adversarial=0.5),
    "control": _control,
}


def resident():
    return model().requires_grad_(False)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """-> a function that opens the network on disk anew"""
    folder = tmp_path_factory.mktemp("base") / "mmdit"
    save(model(), folder)

    def opened():
        with torch.device("meta"):
            mmdit = MMDiT(SMALL)
        load_weights(mmdit, folder, torch.float32, streamed=True)
        recompute(mmdit)
        return mmdit

    return opened


def gradients(mmdit, objective) -> dict[str, torch.Tensor]:
    trained, loss = objective(mmdit)
    loss.backward()
    return {name: p.grad for name, p in trained.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_streamed_base_gives_the_gradients_of_one_in_memory(name, streamed):
    assert not isinstance(streamed().transformer_blocks, torch.nn.ModuleList)
    ours, theirs = (gradients(mmdit, OBJECTIVES[name]) for mmdit in (streamed(), resident()))
    assert ours.keys() == theirs.keys() and any(grad.any() for grad in ours.values())
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
