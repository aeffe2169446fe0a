"""DPO and GRPO are the same beside peft as in the package; an objective that is off is named."""

import contextlib
from dataclasses import replace

import pytest
import torch
from diffusers import QwenImageTransformer2DModel

from qwenimage_ref.evaluate import preferred, rewarded
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.bench import objectives
from qwenimage_ref.parity.bench.lora import SAME
from qwenimage_ref.parity.bench.lora_tasks import adapted, base
from qwenimage_ref.parity.bench.objectives_tasks import DISTILLED, DPO, OURS, update_of
from qwenimage_ref.parity.bench.parts import FULL, QUICK
from qwenimage_ref.pocket import students
from qwenimage_ref.train import dmd2, grpo, preference


def wide_rows():
    return objectives.wide_rows(1, QUICK.wide, rounds=1)


def test_both_objectives_have_the_gradients_of_those_written_with_peft():
    rows = list(wide_rows())
    assert [row.what for row in rows] == [
        f"{name} step, one block, {dtype}"
        for dtype in ("float32", "bfloat16")
        for name in ("DPO", "GRPO")
    ]
    assert all(row.error <= row.allowed for row in rows)
    assert [row.allowed for row in rows[:2]] == [SAME, SAME]


def replaced(place, name: str, wrong):
    """-> a change that puts `wrong(the original, *arguments)` in the place of a function"""
    original = getattr(place, name)
    return lambda patch: patch.setattr(place, name, lambda *args: wrong(original, *args))


@contextlib.contextmanager
def still_on(adapter):
    yield


WRONG = {
    ("DPO", "another beta"): replaced(
        preference, "dpo_loss", lambda loss, *errors: loss(*errors[:-1], 2 * errors[-1])
    ),
    ("DPO", "the loser preferred"): replaced(
        preference, "dpo_loss", lambda loss, w, l, rw, rl, beta: loss(l, w, rl, rw, beta)
    ),
    ("DPO", "no reference"): lambda patch: patch.setattr(preference.LoRA, "off", still_on),
    ("GRPO", "no reference"): lambda patch: patch.setattr(grpo.LoRA, "off", still_on),
    ("GRPO", "no clip"): replaced(
        grpo, "clipped_loss", lambda loss, p, old, gain, clip: loss(p, old, gain, 1e3)
    ),
    ("GRPO", "raw rewards"): lambda patch: patch.setattr(grpo, "advantages", lambda r: r),
    ("GRPO", "a sum of log-probabilities"): replaced(
        grpo, "log_probability", lambda log_p, x, *rest: log_p(x, *rest) * x[0].numel()
    ),
    ("GRPO", "a KL not divided by the step"): replaced(
        grpo, "divergence", lambda kl, v, r, a, b, s: kl(v, r, a, b, s) * (a - b)
    ),
    ("GRPO", "noise of the first step's own sigma"): replaced(
        grpo, "spread", lambda s, sigma, a, largest: s(sigma.clamp(max=0.99), a, sigma)
    ),
}


@pytest.mark.parametrize(("name", "wrong"), WRONG)
def test_another_objective_is_told_apart_by_its_gradients(name, wrong, monkeypatch):
    monkeypatch.setattr(objectives, "WIDE", {name: objectives.WIDE[name]})
    WRONG[name, wrong](monkeypatch)
    row = next(wide_rows())
    assert row.what.startswith(name) and any("off by" in reason for reason in row.missed)


def test_the_pocket_model_is_trained_as_in_its_recipes():
    hack, sizes = rewarded.HACKS["1"], FULL.pocket
    assert replace(DPO, beta=preferred.BETA) == preferred.CHOICES
    assert sizes.pairs == preferred.RECIPE.batch
    # every sampling step is trained there, of both implementations
    assert sizes.rewards() == replace(hack.choices, noisy=0)
    assert sizes.batch == students.LESSON.recipe.batch


@pytest.mark.parametrize(("name", "passes"), [("DPO", 2), ("GRPO", 2 + 2 * 2)])
def test_both_sides_of_an_update_make_as_many_passes_of_as_many_pictures(name, passes, monkeypatch):
    mmdit, counts = base(1, torch.float32), {MMDiT: [], QwenImageTransformer2DModel: []}
    theirs = objectives.update_by_peft(name, mmdit, QUICK.pocket)
    ours = OURS[name](mmdit, adapted(mmdit)[0], QUICK.pocket)
    for network, batches in counts.items():
        forward = network.forward

        def counted(self, *args, batches=batches, forward=forward, **inputs):
            batches.append(len(args[0] if args else inputs["hidden_states"]))
            return forward(self, *args, **inputs)

        monkeypatch.setattr(network, "forward", counted)
    ours(), theirs()
    assert list(counts.values()) == [[2] * passes] * 2  # two pictures: a pair, or a group


def test_an_update_averages_its_batches_and_returns_the_last_steps_gradients():
    weight, numbers = torch.nn.Parameter(torch.ones(1)), []

    def loss_at(number):
        numbers.append(number)
        return weight.sum() * number

    update = update_of(loss_at, [weight], batches=2, inner=2)
    assert update()[0].item() == (2 + 3) / 2 and update()[0].item() == (6 + 7) / 2
    assert numbers == list(range(8)) and weight.item() < 1


def test_a_cycle_of_dmd2_trains_the_student_once_and_the_fake_before_it(monkeypatch):
    turns, mmdit = [], base(1, torch.float32)
    for name in ("student_loss", "fake_loss"):
        part = getattr(dmd2.Players, name)

        def noted(self, *args, name=name, part=part):
            turns.append(name)
            return part(self, *args)

        monkeypatch.setattr(dmd2.Players, name, noted)
    adapter, _ = adapted(mmdit)
    DISTILLED["DMD2"](mmdit, adapter, QUICK.pocket)()
    assert turns == ["fake_loss"] * 4 + ["student_loss"]


def test_direct_distillation_is_measured_at_one_step_of_a_batch(monkeypatch):
    calls, mmdit, forward = [], base(1, torch.float32), MMDiT.forward

    def counted(self, img, *rest):
        calls.append(len(img))
        return forward(self, img, *rest)

    monkeypatch.setattr(MMDiT, "forward", counted)
    DISTILLED["distill"](mmdit, adapted(mmdit)[0], QUICK.pocket)()
    assert calls == [QUICK.pocket.batch]
