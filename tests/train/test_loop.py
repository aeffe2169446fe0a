"""A training run survives being killed, and each of its steps does what the recipe says."""

import csv
import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from qwenimage_ref.train import loop
from qwenimage_ref.train.loop import Recipe, Run

RECIPE = Recipe(steps=10, batch=4, lr=1e-2, muon_lr=1e-2, warmup=3, weight_decay=0.01)


def small_run(folder, recipe=RECIPE):
    """A network with a convolution, whose weights may lie in memory in another order, and with a
    matrix that Muon trains."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 2))
    run = Run(net.to(memory_format=torch.channels_last), recipe, folder, ["3.weight"])

    def loss_at(step):
        generator = recipe.generator(step)
        img = torch.randn(recipe.batch, 3, 4, 4, generator=generator)
        return (net(img) - torch.randn(recipe.batch, 2, generator=generator)).pow(2).mean()

    return run, loss_at


def everything(run) -> dict[str, torch.Tensor]:
    """Weights, average and moments, by name."""
    state = {"step": torch.tensor(run.step)}
    for name, weight, average in zip(run.names, run.weights, run.average):
        state |= {f"{name}": weight.detach(), f"average of {name}": average}
        for optimiser in run.optimisers:
            moments = optimiser.state.get(weight, {})
            state |= {f"{key} of {name}": value for key, value in moments.items()}
    return state


def assert_same_run(ours, theirs):
    ours, theirs = everything(ours), everything(theirs)
    # step; of AdamW's weights the average, two moments and a count each, of Muon's one moment
    assert len(ours) == 1 + 3 * 5 + 3
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def undisturbed(folder, recipe=RECIPE):
    run, loss_at = small_run(folder, recipe)
    run.fit(loss_at)
    return run


def logged(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_the_module_offers_is_there():
    assert all(hasattr(loop, name) for name in loop.__all__)


# -- resuming -------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 5, 9, 10])
def test_a_restarted_run_ends_with_the_same_bits(tmp_path, first):
    run, loss_at = small_run(tmp_path / "twice")
    run.fit(loss_at, until=first)
    resumed, loss_at = small_run(tmp_path / "twice")
    assert resumed.step == first
    resumed.fit(loss_at)
    assert_same_run(resumed, undisturbed(tmp_path / "once"))


@pytest.mark.parametrize("seconds, steps", [(0, [1, 2, 3, 3]), (3600, [3])])
def test_a_state_is_saved_whenever_its_time_has_come_and_at_the_end(
    tmp_path, monkeypatch, seconds, steps
):
    run, loss_at = small_run(tmp_path)
    saved, save = [], run.save
    monkeypatch.setattr(run, "save", lambda: saved.append(run.step) or save())
    run.fit(loss_at, until=3, save_seconds=seconds)
    assert saved == steps


def test_training_changes_every_weight(tmp_path):
    before = [p.detach().clone() for p in small_run(tmp_path / "a")[0].weights]
    after = undisturbed(tmp_path / "b").weights
    assert not any(torch.equal(a, b) for a, b in zip(before, after))


LONG = Recipe(steps=60, batch=4, lr=1e-2, warmup=3)
CHILD = f"""
import sys, os, signal, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_loop import LONG, Path, loop, small_run
loop.LOG_EVERY = 2
run, loss_at = small_run(sys.argv[1], LONG)
def slow_loss_at(step):
    print(step, flush=True)
    time.sleep(0.2 * (step >= 20))  # a busy machine has time to kill before the end
    return loss_at(step)
"""
HALF_A_STATE = """
from qwenimage_ref.train import state
whole = state.save_file
def save_file(tensors, path, metadata):
    whole(tensors, path, metadata)
    if run.step == 20:
        os.truncate(path, Path(path).stat().st_size // 2)
        os.kill(os.getpid(), signal.SIGKILL)
state.save_file = save_file
"""
FIT = "run.fit(slow_loss_at, save_seconds=0)"


def child(code, folder):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(folder)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_a_run_killed_at_any_moment_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    process = child(FIT, tmp_path / "killed")
    for line in process.stdout:
        if int(line) == 20:
            process.kill()
    assert process.wait() == -signal.SIGKILL
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    run, loss_at = small_run(tmp_path / "killed", LONG)
    assert 19 <= run.step < LONG.steps  # in the middle: it had not ended by itself
    run.fit(loss_at)
    assert_same_run(run, undisturbed(tmp_path / "whole", LONG))
    assert [line["step"] for line in logged(tmp_path / "killed")] == list(range(2, 61, 2))


def test_the_bar_moves_a_step_at_a_time_and_shows_the_logged_loss(tmp_path, monkeypatch):
    bars, moves, shown = [], [], []

    class Bar(loop.tqdm):
        def __init__(self, **settings):
            super().__init__(**settings | {"disable": True})
            bars.append(settings)

        def update(self):
            moves.append(1)

        def set_postfix(self, loss):
            shown.append(loss)

    monkeypatch.setattr(loop, "tqdm", Bar)
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at)
    small_run(tmp_path)[0].fit(loss_at, quiet=True)
    started, resumed = bars
    assert (started["total"], started["initial"], started["unit"]) == (RECIPE.steps, 0, "step")
    assert (resumed["initial"], len(moves)) == (RECIPE.steps, RECIPE.steps)
    assert (started["disable"], resumed["disable"]) == (False, True)
    assert shown == [f"{line['loss']:.4f}" for line in logged(tmp_path)] and len(shown) == 2


def test_a_kill_while_the_state_is_written_leaves_the_one_before(tmp_path):
    process = child(HALF_A_STATE + FIT, tmp_path)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    half, whole = (
        tmp_path / name for name in ("unfinished/state.safetensors", "state.safetensors")
    )
    assert 0 < half.stat().st_size < whole.stat().st_size
    run, loss_at = small_run(tmp_path, LONG)
    assert run.step == 19
    run.fit(loss_at, until=21)
    assert not (tmp_path / "unfinished").exists()
    assert small_run(tmp_path, LONG)[0].step == 21


def test_the_state_of_another_network_is_refused(tmp_path):
    undisturbed(tmp_path)
    for net in (nn.Linear(3, 2), nn.Sequential(nn.Conv2d(3, 4, 1))):
        with pytest.raises(ValueError, match="another network") as refused:
            Run(net, RECIPE, tmp_path)
        assert str(tmp_path) in str(refused.value)


def test_a_state_is_saved_every_five_minutes_and_measured_every_500_steps_by_default():
    defaults = inspect.signature(Run.fit).parameters
    assert (defaults["save_seconds"].default, defaults["measure_every"].default) == (300, 500)


# -- the log --------------------------------------------------------------------------------------


def test_steps_that_are_run_again_are_logged_once(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=4)
    saved = run.state_file.read_bytes()
    run.fit(loss_at)
    run.state_file.write_bytes(saved)  # as if killed after step 10, last saved at step 4
    resumed, loss_at = small_run(tmp_path)
    resumed.fit(loss_at)
    assert [line["step"] for line in logged(tmp_path)] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize("torn", ['{"step": 5, "lo', "{", "", '{"step": 5}'])
def test_a_line_that_a_kill_cut_short_is_dropped(tmp_path, monkeypatch, torn):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=4)
    with run.log_file.open("a") as file:
        file.write(torn)
    resumed, loss_at = small_run(tmp_path)
    resumed.fit(loss_at)
    assert [line["step"] for line in logged(tmp_path)] == [2, 4, 6, 8, 10]


def test_a_logged_loss_is_the_mean_since_the_line_before(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 5)
    run, loss_at = small_run(tmp_path)
    losses = []

    def remember(step):
        loss = loss_at(step)
        losses.append(loss.item())
        return loss

    run.fit(remember)
    first, second = logged(tmp_path)
    assert first["loss"] == pytest.approx(sum(losses[:5]) / 5, rel=1e-5)
    assert second["loss"] == pytest.approx(sum(losses[5:]) / 5, rel=1e-5)
    assert second["lr"] == pytest.approx(RECIPE.lr_at(9), rel=1e-5)


def test_measurements_are_logged_at_their_own_steps_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, measure=lambda: {"psnr": 1.0}, measure_every=3)
    measured = {line["step"]: "psnr" in line for line in logged(tmp_path)}
    assert measured == {3: True, 4: False, 6: True, 8: False, 9: True, 10: True}


def test_a_line_is_logged_every_fifty_steps(tmp_path):
    undisturbed(tmp_path, LONG)
    assert [line["step"] for line in logged(tmp_path)] == [50, 60]


def test_each_step_has_a_gradient_of_its_own_and_the_last_one_s_norm_is_logged(tmp_path):
    run, _ = small_run(tmp_path)
    run.fit(lambda step: (step + 1) * run.weights[0].sum(), until=3)
    assert logged(tmp_path)[-1]["grad_norm"] == pytest.approx(3 * run.weights[0].numel() ** 0.5)


def test_without_measurements_a_line_holds_the_training_numbers_alone(tmp_path):
    undisturbed(tmp_path)
    assert [set(line) for line in logged(tmp_path)] == [
        {"step", "loss", "lr", "grad_norm", "seconds"}
    ]


def test_a_line_says_how_many_seconds_the_run_has_taken(tmp_path):
    run, loss_at = small_run(tmp_path)
    began = time.monotonic()
    run.fit(loss_at)
    assert 0 <= logged(tmp_path)[-1]["seconds"] <= time.monotonic() - began


# -- what a run does at each step -----------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_the_run_before_it_does_harm(tmp_path, value):
    run, loss_at = small_run(tmp_path / "stopped")
    with pytest.raises(FloatingPointError, match="step 3: the gradient is not finite") as stopped:
        run.fit(lambda step: loss_at(step) * (value if step == 3 else 1))
    assert "\n" not in str(stopped.value) and "lower the rate 0.01" in str(stopped.value)
    good, loss_at = small_run(tmp_path / "good")
    good.fit(loss_at, until=3)
    assert_same_run(run, good)


def test_a_loss_that_explodes_stops_the_run_though_it_is_finite(tmp_path):
    run, loss_at = small_run(tmp_path / "stopped")
    with pytest.raises(FloatingPointError, match=r"step 3: the loss is \S+; lower the rate 0.01"):
        run.fit(lambda step: loss_at(step) + (10_001 if step == 3 else 0))
    good, loss_at = small_run(tmp_path / "good")
    good.fit(loss_at, until=3)
    assert_same_run(run, good)
    run.fit(lambda step: loss_at(step) + 9_000, until=4)  # still far above any that is trained on


def test_a_run_that_diverges_says_which_state_is_kept_and_keeps_it(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=2)
    saved = run.state_file.read_bytes()
    with pytest.raises(FloatingPointError, match=r"step 4: .*step 2 is kept in") as stopped:
        run.fit(lambda step: loss_at(step) * (float("nan") if step == 4 else 1))
    assert str(tmp_path) in str(stopped.value)
    assert run.state_file.read_bytes() == saved


def test_a_run_that_diverges_before_its_first_state_says_that_there_is_none(tmp_path):
    run, loss_at = small_run(tmp_path)
    with pytest.raises(FloatingPointError, match="step 0: .*no state was saved"):
        run.fit(lambda step: loss_at(step) * float("nan"))


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=2)
    saved = run.state_file.read_bytes()
    with torch.no_grad():
        run.weights[0][0] = float("inf")
    with pytest.raises(FloatingPointError, match="step 2: a weight is not finite.*step 2 is kept"):
        run.save()
    assert run.state_file.read_bytes() == saved


def test_a_step_whose_batches_are_all_left_out_changes_no_weight(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=1)
    before = [p.detach().clone() for p in run.weights]
    run.fit(lambda step: (None, {"left_out": 1.0}), until=2)
    assert run.step == 2
    assert all(torch.equal(a, b) for a, b in zip(before, run.weights))
    assert (logged(tmp_path)[-1]["left_out"], logged(tmp_path)[-1]["loss"]) == (1.0, 0.0)


def test_numbers_of_an_objective_are_averaged_over_the_steps_of_a_line(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(lambda step: (loss_at(step), {"reward": float(step)}), until=4)
    assert logged(tmp_path)[-1]["reward"] == 1.5


def test_numbers_of_an_objective_are_averaged_over_the_batches_of_a_step(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(lambda batch: (loss_at(batch), {"reward": float(batch)}), until=1, accumulate=4)
    assert logged(tmp_path)[-1]["reward"] == 1.5


def test_an_update_by_muon_is_as_large_as_one_by_adamw(tmp_path):
    net = nn.Linear(256, 256)
    run = Run(net, Recipe(steps=1, batch=1, lr=1.0, muon_lr=1.0, warmup=0), tmp_path, ["weight"])
    before = net.weight.detach().clone()
    img, aim = torch.randn(2, 300, 256, generator=torch.Generator().manual_seed(0))
    run.fit(lambda step: (net(img) * aim).mean())
    # AdamW's is 0.2 of its rate on average; Muon's own scale would be 0.06 for this matrix
    assert (net.weight.detach() - before).pow(2).mean().sqrt() == pytest.approx(0.2, rel=0.3)


def test_no_state_is_saved_among_steps_that_belong_together(tmp_path, monkeypatch):
    run, loss_at = small_run(tmp_path)
    saved, save = [], run.save
    monkeypatch.setattr(run, "save", lambda: saved.append(run.step) or save())
    with pytest.raises(ValueError, match="steps must be a multiple of 2, got 3"):
        run.fit(loss_at, until=3, together=2)
    run.fit(loss_at, until=4, together=2, save_seconds=0)
    assert saved == [2, 4, 4]


def test_the_log_is_a_table_as_well_with_a_column_for_each_number(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 4)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, measure=lambda: {"psnr": 1.0}, measure_every=10)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["psnr"] for row in rows] == ["", "", "1.0"]
    lines = [{k: str(v) for k, v in line.items()} for line in logged(tmp_path)]
    assert [{k: v for k, v in row.items() if v} for row in rows] == lines


def test_averaged_swaps_the_weights_and_puts_them_back_even_after_an_error(tmp_path):
    run = undisturbed(tmp_path)
    weights = [p.detach().clone() for p in run.weights]
    average = [p.clone() for p in run.average]
    assert not any(torch.equal(w, a) for w, a in zip(weights, average))
    with pytest.raises(ZeroDivisionError), run.averaged():
        assert all(torch.equal(p, a) for p, a in zip(run.model.parameters(), average))
        raise ZeroDivisionError
    assert all(torch.equal(p, w) for p, w in zip(run.model.parameters(), weights))
    assert all(torch.equal(p, a) for p, a in zip(run.average, average))


def test_the_average_stays_in_the_model_when_the_run_is_finished(tmp_path):
    run = undisturbed(tmp_path)
    average = [p.clone() for p in run.average]
    run.use_average()
    run.use_average()
    assert all(torch.equal(p, a) for p, a in zip(run.model.parameters(), average))


def test_measurements_are_taken_with_the_averaged_weights(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, measure=lambda: {"bias": run.model[0].bias[0].item()}, measure_every=10)
    assert logged(tmp_path)[-1]["bias"] == pytest.approx(run.average[1][0].item(), rel=1e-5)


def test_the_average_follows_closely_at_first_and_slowly_later(tmp_path):
    run, loss_at = small_run(tmp_path, Recipe(steps=10, batch=4, lr=0.1, warmup=0, ema=0.2))
    expected = [p.detach().clone() for p in run.weights]
    for step, keep in enumerate([1 / 10, 2 / 11, 0.2, 0.2]):  # (step + 1) / (step + 10), capped
        run.fit(loss_at, until=step + 1)
        expected = [keep * e + (1 - keep) * p.detach() for e, p in zip(expected, run.weights)]
    for average, e in zip(run.average, expected):
        torch.testing.assert_close(average, e)


def test_weights_do_not_decay_unless_the_recipe_says_so(tmp_path):
    def after_a_step_without_gradient(**decay):
        run, _ = small_run(tmp_path / repr(decay), Recipe(steps=1, batch=1, lr=0.1, **decay))
        before = run.weights[0].detach().clone()
        run.fit(lambda step: 0 * run.weights[0].sum())
        return run.weights[0].detach() / before

    torch.testing.assert_close(after_a_step_without_gradient(), torch.ones(4, 3, 3, 3))
    decayed = after_a_step_without_gradient(weight_decay=1.0, warmup=0)
    torch.testing.assert_close(decayed, torch.full((4, 3, 3, 3), 0.9))
