"""Chapter 08: the loop of a sampler, with guidance and clean estimates."""

from types import SimpleNamespace

import torch

from ..answers import EX_08_GUIDE, EX_08_LOOP, EX_08_SIGMAS, EX_08_STEP
from .common import exercise, need
from .schedule import kind_of, near, numbers


class _Network:
    """Stands in for the transformer: a bent field, and a list of the times it was called with."""

    def __init__(self, width: int):
        self.matrix, self.calls = numbers(width, width, seed=3) / width**0.5, []

    def __call__(self, x, time, text):
        self.calls.append(torch.as_tensor(time).clone())
        level = torch.as_tensor(time).reshape(-1, 1, 1).to(x.dtype)
        return torch.tanh(x @ self.matrix.to(x.dtype)) * (1 + level) + text.to(x.dtype)


def _run(loop, given, **slips):
    network = _Network(given[0].shape[-1])
    answer = loop(network, *given, **slips)
    return SimpleNamespace(answer=answer, calls=network.calls)


def _loop(network, x, levels, cond, uncond, scale, slip="", estimate="right"):
    """The loop with a slip in its steps, or in its estimates."""
    estimates, first = [], x
    if slip == "exchanged":
        cond, uncond = uncond, cond
    for sigma, after in zip(levels, levels[1:]):
        time = (1000 * sigma).to(x.dtype).expand(len(x)) / 1000
        place = first if slip == "not moved" else x
        one = velocity = network(place, time, cond)
        other = network(place, time, uncond)
        if slip == "not rescaled":
            velocity = other + scale * (one - other)
        elif slip != "cond alone":
            velocity = EX_08_GUIDE(one, other, scale)
        ends = {"full": 0 * sigma, "backwards": 2 * sigma - after}
        before, x = x, EX_08_STEP(x, velocity, sigma, ends.get(slip, after))
        estimates.append(
            {
                "right": before - sigma * velocity,
                "after": x - sigma * velocity,
                "next level": before - after * velocity,
                "added": before + sigma * velocity,
                "cond alone": before - sigma * one,
                "the latents": before,
                "the next latents": x,
            }[estimate]
        )
    return x, estimates


LOOP_SLIPS = {  # slip: hint
    "cond alone": "the second velocity is computed and not used: guidance is missing",
    "exchanged": "guidance leads away from the prompt; which of the two velocities comes first?",
    "not rescaled": "the guided velocities keep the lengths that the extrapolation gave them",
    "not moved": "every velocity is computed at the first x; ask again where you have arrived",
    "full": "every step goes to sigma 0 at once; it ends at the next level",
    "backwards": "your steps lead back to the noise",
}
ESTIMATES = {
    "after": "the estimate subtracts from x after the step; take x from before it",
    "next level": "the estimate goes sigma_next far; from where the step begins it is sigma to go",
    "added": "the estimate goes the wrong way: subtract the velocity",
    "cond alone": "the estimate follows cond; take the guided velocity, as the step does",
    "the latents": "you keep the noisy x; the clean estimate is x less sigma times the velocity",
    "the next latents": "you keep the noisy x; the clean estimate is x less sigma times the "
    "velocity",
}


def _all_near(a, b) -> bool:
    return len(a) == len(b) and all(near(x, y) for x, y in zip(a, b))


def _demand_calls(seen, right, guided: bool) -> None:
    """Whether the network was called as often as it should be, and with which times."""
    calls, due = len(seen.calls), len(right.calls)
    need(calls > 0, "the network is never called")
    need(
        not guided or calls != due // 2,
        "with guidance the network runs twice a step, whatever the scale, and yours runs it once",
    )
    need(
        guided or calls != 2 * due,
        "without a negative condition one call a step is enough, and yours runs two",
    )
    need(calls == due, f"the network should be called {due} times here, and yours calls it {calls}")
    for time, right_time in zip(seen.calls, right.calls):
        need(
            time.shape == right_time.shape,
            f"the times have shape (B,), one a picture, here {tuple(right_time.shape)}; yours is "
            f"{tuple(time.shape)}",
        )
        need(
            not near(time, 1000 * right_time),
            "the network receives sigma; you give it the timestep, a thousand times as much",
        )
        need(
            right_time.dtype == torch.float32 or bool((time == right_time).all()),
            "in bfloat16 the time is 1000 sigma, rounded, and then divided by 1000",
        )
        need(
            near(time, right_time),
            "the time of a step is the sigma at its beginning, for each picture",
        )


@exercise
def ex_08_loop(my_loop) -> str:
    """my_loop(network, x, levels, cond, uncond, true_cfg_scale): all steps, and the estimates."""
    cases = (
        *((2, 3, 5, 6, 4.0, True, torch.float32), (3, 4, 6, 4, 2.5, True, torch.float32)),
        *((2, 5, 4, 5, 4.0, False, torch.float32), (2, 6, 8, 7, 3.0, True, torch.bfloat16)),
        (2, 3, 5, 4, 0.7, True, torch.float32),
    )
    for batch, tokens, width, steps, scale, guided, kind in cases:
        x = numbers(batch, tokens, width).to(kind)
        cond, uncond = (numbers(batch, 1, width, seed=seed).to(kind) for seed in (1, 2))
        levels = EX_08_SIGMAS(steps, 0.6, 0.02)
        given = x, levels, cond, uncond if guided else None, scale
        seen, right = _run(my_loop, given), _run(EX_08_LOOP, given)
        need(
            isinstance(seen.answer, (tuple, list)) and len(seen.answer) == 2,
            "give two things: x at the end, and the list of clean estimates",
        )
        _demand_calls(seen, right, guided)
        end, estimates = seen.answer
        for slip, hint in LOOP_SLIPS.items() if guided and kind == torch.float32 else ():
            need(not near(end, _run(_loop, given, slip=slip).answer[0]), hint)
        need(end.dtype == kind, f"x has to stay in {kind_of(kind)}")
        need(near(end, right.answer[0]), "x ends somewhere else; compare step by step")
        need(
            isinstance(estimates, (list, tuple)) and len(estimates) == steps,
            f"one clean estimate a step, {steps} in all",
        )
        for kept, hint in ESTIMATES.items() if guided and kind == torch.float32 else ():
            wrong = _run(_loop, given, estimate=kept).answer[1]
            need(not _all_near(estimates, wrong), hint)
        need(_all_near(estimates, right.answer[1]), "the clean estimates are not right")
    return "velocity, guidance, estimate, step, and again"
