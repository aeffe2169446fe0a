"""Chapter 09: the pipeline from end to end, compared where its parts meet."""

import torch

from ...sampler import euler_step, guide
from ..answers import EX_09_PAINT, EX_09_PIXELS, EX_09_STATES
from .common import exercise, need
from .parts import near
from .stand_ins import Parts

CASES = (  # prompts, negatives, scale, height, width, steps, seeds
    (["a star", "two blue rings"], [" ", " "], 4.0, 48, 80, 5, [3, 4]),
    (["a gray square"], ["a ring"], 2.5, 64, 32, 3, [7]),
    (["a star", "red"], None, 4.0, 32, 32, 4, [1, 1]),
    (["a star"], [" "], 1.0, 32, 48, 4, [2]),
    (["a star"], ["red"], 1.5, 48, 32, 2, [2]),
)


def _painted(paint, case):
    parts = Parts()
    return parts, paint(parts, *case)


def _demand_texts(parts, right, case) -> None:
    """Whether the text encoder was given the prompts, and the negative ones where they count."""
    calls, due = (one.text_encoder.calls for one in (parts, right))
    prompts, negatives, scale = case[:3]
    need(len(calls) > 0, "the text encoder is never called")
    unguided = negatives is None or scale <= 1
    reason = "there is no negative prompt" if negatives is None else f"a scale of {scale:g}"
    need(
        not unguided or len(calls) == 1,
        f"{reason} means no guidance: the negative prompt need not be read",
    )
    need(len(calls) == len(due), "prompts and negative prompts are read in one call each")
    need(
        sorted(map(repr, calls)) == sorted(map(repr, due)),
        "the text encoder is given other ids; `my_states` makes them",
    )


def _demand_calls(parts, right, case) -> None:
    """Whether the transformer was called as often as it should be, at the right start and times."""
    calls, due = (one.transformer.calls for one in (parts, right))
    height, width, steps = case[3:6]
    need(len(calls) > 0, "the transformer is never called")
    need(
        2 * len(calls) != len(due),
        "with guidance the transformer runs twice a step, and yours runs once",
    )
    need(
        len(calls) == len(due),
        f"{steps} steps need {len(due)} calls of the transformer, and yours makes {len(calls)}",
    )
    need(
        calls[0].x.shape == due[0].x.shape and near(calls[0].x, due[0].x),
        "the loop does not begin at the noise of these seeds; `my_noise` makes it",
    )
    grid = [(1, height // 16, width // 16)]
    for call, wanted in zip(calls, due):
        need(
            [tuple(one) for one in call.grids] == grid,
            f"{height} × {width} pixels are the grid {grid}, and yours is {call.grids}",
        )
        need(
            isinstance(call.time, torch.Tensor) and call.time.shape == wanted.time.shape,
            f"the times have shape (B,), one a picture, here {tuple(wanted.time.shape)}",
        )
        need(
            not near(call.time, 1000 * wanted.time),
            "the transformer receives sigma; you give it a thousand times as much",
        )
    times = [torch.stack([call.time for call in one]) for one in (calls, due)]
    need(near(times[0][:1], times[1][:1]), "the first time is 1: painting begins at pure noise")
    need(
        near(*times),
        "the times of the steps are not the noise levels of a picture of this size; `sigmas` takes "
        "the number of its tokens and the scheduler's numbers",
    )
    _demand_conditions(calls, right.transformer.calls)


def _demand_conditions(calls, due) -> None:
    masked = any(call.mask is not None for call in due)
    need(
        not masked or any(call.mask is not None for call in calls),
        "the prompts are of different lengths, and the transformer never gets their mask",
    )

    def sums(one):  # careful: the order of the two calls of a step is free
        return torch.tensor(sorted(call.txt.sum().item() for call in one))

    need(
        near(sums(calls), sums(due)),
        "the transformer is given other states than those of the prompts and negative prompts",
    )


def _loop(case, slip: str):
    """The whole pipeline with a slip in its loop -> the pixels"""
    parts, right = Parts(), Parts()
    EX_09_PAINT(right, *case)
    prompts, negatives, scale, height, width = case[:5]
    rows, cols = height // 16, width // 16
    texts = [EX_09_STATES(parts, group) for group in (prompts, negatives)]
    times = [call.time for call in right.transformer.calls[::2]]
    x = start = right.transformer.calls[0].x
    for time, after in zip(times, [*times[1:], 0 * times[0]]):
        place = start if slip == "not moved" else x
        grid = [(1, rows, cols)]
        cond, away = (parts.transformer(place, *_with_mask(text, time, grid)) for text in texts)
        if slip == "exchanged":
            cond, away = away, cond
        velocity = guide(cond, away, scale)
        if slip == "cond alone":
            velocity = cond
        elif slip == "not rescaled":
            velocity = away + scale * (cond - away)
        elif slip == "scale of four":
            velocity = guide(cond, away, 4.0)
        sign = -1 if slip == "backwards" else 1
        x = euler_step(x, sign * velocity, time[0], after[0])
    return EX_09_PIXELS(parts.vae, x, rows, cols)


def _with_mask(text, time, grid):
    txt, mask = text
    return txt, time, grid, mask


SLIPS = {  # slip: hint
    "cond alone": "the second velocity is not used: guidance is missing",
    "exchanged": "guidance leads away from the prompt; which of the two velocities comes first?",
    "not rescaled": "the guided velocities have to keep the lengths of the prompt's; `guide` does",
    "scale of four": "guidance takes a scale of 4, whatever is asked for",
    "not moved": "every velocity is computed at the noise; ask again where you have arrived",
    "backwards": "your steps lead back to the noise",
}


@exercise
def ex_09_paint(my_paint) -> str:
    """my_paint(parts, prompts, negatives, scale, height, width, steps, seeds): a whole pipeline."""
    for case in CASES:
        parts, given = _painted(my_paint, case)
        right, pixels = _painted(EX_09_PAINT, case)
        _demand_texts(parts, right, case)
        _demand_calls(parts, right, case)
        need(
            isinstance(given, torch.Tensor) and given.shape == pixels.shape,
            f"give pixels as `my_pixels` does, here {tuple(pixels.shape)}",
        )
        guided = case[1] is not None and case[2] > 1
        for slip, hint in SLIPS.items() if guided else ():
            if slip != "scale of four" or case[2] != 4:
                need(not near(given, _loop(case, slip)), hint)
        for call, wanted in zip(parts.transformer.calls, right.transformer.calls):
            need(
                guided or near(call.x, wanted.x),
                "x is not where the steps lead; compare the loop with the one of chapter 08",
            )
        need(
            near(given, pixels),
            "everything that the networks are given is right, and the pixels are not: look at the "
            "last step and at what happens behind the loop",
        )
    return "prompt, states, noise, velocity, steps, pixels: that is Qwen-Image"
