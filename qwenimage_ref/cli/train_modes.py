"""The modes of `qwenimage train`: what each learns from, its options, sources and objective."""

import dataclasses
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from .train_control import train as _control
from .train_data import PICTURES

ADAPTER = {  # field of the objective's choices: option and help
    "rank": ("--rank", "rows of A, columns of B"),
    "alpha": ("--alpha", "B A is scaled by alpha/rank"),
    "targets": (
        "--targets", "layers that are adapted, as in diffusers, DiffSynth, Lightning or musubi"
    ),
}  # fmt: skip
ACCUMULATE = {
    "accumulate": ("--accumulate", "batches whose gradients are averaged into a step"),
}
SIGMA = {
    "sigma": (
        "--sigma", "distribution of the noise levels: uniform, logit-normal, shift or qwen_shift"
    ),
    "shift": ("--shift", "for --sigma shift"),
}  # fmt: skip
FLOW = SIGMA | ACCUMULATE | {
    "weighting": ("--weighting", "weight of the loss: none, bell, sigma_sqrt or cosmap"),
    "dropout": ("--dropout", "share of the captions replaced by the empty one"),
}  # fmt: skip
STUDENT = ACCUMULATE | {
    "steps": ("--student-steps", "sampling steps of the student"),
    "schedule": ("--schedule", "its noise levels: Lightning (1 to 0) or DiffSynth (to 0.02)"),
}
TEACHER = {"guidance": ("--cfg", "guidance of the teacher")}


@dataclass(frozen=True)
class Mode:
    """One objective on the command line."""

    name: str
    help: str
    about: str
    data: str  # pictures, comparisons, taught, prompts, matched or pairs
    choices: str  # module and name of the dataclass of its choices
    options: dict[str, tuple[str, str]]
    train: Callable  # pipe, data, empty, recipe, choices, folder, origin, options, **fit -> Run
    steps: int = 200
    batch: int = 1
    batch_counts: str = "pictures per batch, all of one size"
    lr: float = 1e-4
    whole: bool = False  # whether every weight is trained
    whole_option: bool = False  # whether an option decides that
    column: str | None = None  # what a control network reads, if one is trained
    shared: bool = False  # whether several processes can train it together
    check: Callable = lambda options, recipe, choices: None  # raises ValueError, one line

    @property
    def result(self) -> tuple[str, str]:
        """What is written, and its usual name"""
        if self.whole:
            return "the folder to write, in the official layout", "transformer"
        if self.column:
            return "the control network to write", "control.safetensors"
        return "the adapter to write", "lora.safetensors"

    @functools.cached_property
    def kind(self) -> type:
        module, name = self.choices.split(".")
        return getattr(importlib.import_module(f"..train.{module}", __package__), name)

    def defaults(self) -> dict:
        """Of every option: the field's of the choices, or the adapter's where they have none."""
        from ..train.lora import Adapter

        fields = [*dataclasses.fields(Adapter), *dataclasses.fields(self.kind)]
        return {field.name: field.default for field in fields} | {"reward": "posters"}


def _lora(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.lora import train

    return train(pipe.transformer, data, empty, recipe, choices, folder, origin, **fit)


def _full(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.full import train

    return train(pipe.transformer, data, empty, recipe, choices, folder, origin, **fit)


def _dpo(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.preference import train

    return train(pipe.transformer, data, recipe, choices, folder, origin, **fit)


def _distill(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.distill import train
    from ..train.lora import Adapter
    from .train_options import choices_of

    adapter = None if options.whole else choices_of(options, Adapter, ADAPTER)
    return train(pipe.transformer, data, recipe, choices, folder, adapter, origin, **fit)


def _differential(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.differential import train

    return train(pipe.transformer, *data, empty, recipe, choices, folder.path, origin, **fit)


def _imitate(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.distill import train_imitation

    shape = _shape(pipe, options)
    return train_imitation(
        pipe.transformer, data, empty, shape, recipe, choices, folder, origin, **fit
    )


def _dmd2(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..train.dmd2 import train

    (prompts, real), shape = data, _shape(pipe, options)
    return train(
        pipe.transformer, prompts, empty, shape, recipe, choices, folder, origin, real=real, **fit
    )


def _check_dmd2(options, recipe, choices) -> None:
    if (choices.adversarial > 0) != (options.real is not None):
        raise ValueError(
            f"--adversarial must be above 0 with --real FOLDER, and 0 without, got "
            f"{choices.adversarial:g}; give both or neither"
        )


def _grpo(pipe, data, empty, recipe, choices, folder, origin, options, **fit):
    from ..posters.reward import reward_of, source_of
    from ..train.grpo import train

    source = source_of(options.choice_reward)
    reward = reward_of(options.choice_reward)

    def judge(latents, prompt: str):
        return reward(pipe.to_pictures(latents), prompt)

    return train(
        pipe.transformer, data, empty, judge, _shape(pipe, options), pipe.scheduler, recipe,
        choices, folder, f"{origin} {options.choice_reward} {source}", **fit,
    )  # fmt: skip


def _shape(pipe, options) -> tuple[int, int, int]:
    """(C, h, w) of the latents of what is painted. Raises ValueError for a wrong --size."""
    from .paint import size_of

    side = pipe.recommended.get("sample_size", 1024)
    width, height = (side, side) if options.size is None else size_of(options.size)
    return tuple(pipe.noise(1, height, width, seed=0).shape[1:])


def _check_grpo(options, recipe, choices) -> None:
    from ..posters.reward import reward_of

    reward_of(options.choice_reward)
    if recipe.steps % choices.inner:
        raise ValueError(
            f"--steps must be a multiple of --inner {choices.inner}, got {recipe.steps}"
        )


STOPS = "Stop it at any moment, even by kill -9: the same command continues, to the same bits."
MODES = {
    mode.name: mode
    for mode in (
        Mode(
            "lora", "a LoRA on pictures of yours; resumes likewise",
            f"{PICTURES} Any sizes; they are shrunk and cropped to multiples of 16. Encoded "
            f"pictures and captions are kept in --runs and encoded once. {STOPS}",
            "pictures", "lora.Settings", ADAPTER | FLOW, _lora, shared=True,
        ),
        Mode(
            "full", "every weight, on pictures of yours",
            f"{PICTURES} Every weight of the transformer is trained, in float32: 20 bytes each. "
            f"{STOPS}",
            "pictures", "lora.Flow", FLOW, _full, lr=1e-5, whole=True, shared=True,
        ),
        Mode(
            "control", "a blockwise control network, from zero",
            "Pictures with captions and control pictures: metadata.csv, .json or .jsonl with the "
            "columns image, prompt and blockwise_controlnet_image, edges or depth for example; "
            "with blockwise_controlnet_inpaint_mask it becomes one for inpainting. A new network "
            "adds nothing, is kept in --runs as zero.safetensors, and the base stays as it is. "
            f"{STOPS}",
            "pictures", "lora.Flow", FLOW, _control, lr=1e-3, column="blockwise_controlnet_image",
        ),
        Mode(
            "dpo", "preference: the winner of two pictures",
            f"Diffusion-DPO on pairs of pictures of one caption and one size. log.csv has four "
            f"error curves, because the loss only widens a difference. {STOPS}",
            "comparisons", "preference.Preference",
            ADAPTER | SIGMA | ACCUMULATE | {"beta": ("--beta", "how sharply a lead counts")},
            _dpo, batch_counts="pairs per batch, all of one size",
        ),
        Mode(
            "grpo", "reward: pictures of one prompt compete",
            "Flow-GRPO. Each round paints a group for each of --batch prompts, rewards it and "
            f"trains --inner steps on it; --steps is a multiple of them. {STOPS}",
            "prompts", "grpo.Reward",
            ADAPTER | {
                "reward": ("--reward", "posters (the exact reader), or MODULE:FUNCTION of yours"),
                "group": ("--group", "pictures of a prompt"),
                "steps": ("--sampling-steps", "sampling steps of a picture"),
                "noisy": ("--noisy", "first sampling steps with noise, which are trained; 0: all"),
                "starts": ("--starts", "noises that a group begins with; 0: one a picture, 1: one"),
                "noise_level": ("--noise-level", "of the sampler with noise"),
                "guidance": ("--cfg", "guidance, in sampling and training alike; 1 is none"),
                "inner": ("--inner", "training steps a round"),
                "clip": ("--ratio-clip", "how far a ratio counts from 1"),
                "beta": ("--beta", "weight of the KL from the base; 0 saves its passes"),
            },
            _grpo, batch=2, batch_counts="prompts a round", lr=3e-4, check=_check_grpo,
        ),
        Mode(
            "distill", "few steps: end where the teacher's pictures are",
            "Direct distillation. The table's seeds are those that the teacher's pictures were "
            f"painted with, on a CPU: with any other noise the mean picture is learned. {STOPS}",
            "taught", "distill.FewSteps", ADAPTER | STUDENT, _distill, whole_option=True,
        ),
        Mode(
            "imitate", "few steps: follow the teacher's path",
            f"Trajectory imitation. The teacher is the base, guided; nothing is stored. {STOPS}",
            "prompts", "distill.Imitation",
            ADAPTER | STUDENT | TEACHER | {"between": ("--between", "its steps for one of these")},
            _imitate, batch_counts="prompts per batch",
        ),
        Mode(
            "dmd2", "few steps: pictures distributed as the teacher's",
            "DMD2 (arXiv 2405.14867). The teacher is the base, guided; student and fake are an "
            "adapter each, and the student is written. With --real and --adversarial a judge "
            f"learns to tell real pictures from the student's, which has it as a loss. {STOPS}",
            "matched", "dmd2.Matching",
            ADAPTER | STUDENT | TEACHER | {
                "every": ("--every", "of so many steps the student takes one, the fake the rest"),
                "adversarial": ("--adversarial", "weight of the judge's loss; goes with --real"),
            },
            _dmd2, batch_counts="prompts per batch", check=_check_dmd2,
        ),
        Mode(
            "differential", "a LoRA of what two sets of pictures differ in",
            f"{PICTURES} A first adapter learns --unwanted for --steps, a second one --wanted on "
            f"top of it; the second alone is written. {STOPS}",
            "pairs", "lora.Settings", ADAPTER | FLOW, _differential,
        ),
    )
}  # fmt: skip
