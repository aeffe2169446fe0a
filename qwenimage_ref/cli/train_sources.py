"""Where each default of `qwenimage train MODE` comes from, as its help states it.

A source begins with whose number it is: DiffSynth's scripts, musubi's documentation, flow_grpo's
preset for SD3, Lightning's release, the technical report, DMD2's paper, the pipeline. What none of
them states is ours, and so is what they state for another task.
"""

OURS = "ours"
AS_LORA = "ours, as for `lora`"
RECIPE = {  # field: source, of `lora`
    "steps": "ours; DiffSynth: 5 epochs of 50 repeats",
    "batch": "DiffSynth",
    "lr": "DiffSynth",
    "ema": "DiffSynth, which has none",
    "seed": OURS,
}
ADAPTER = {
    "rank": "musubi; DiffSynth: 32",
    "alpha": "DiffSynth",
    "targets": "DiffSynth",
}
FLOW = {
    "sigma": "musubi",
    "shift": "musubi",
    "weighting": "musubi",
    "dropout": "DiffSynth, which has none",
    "accumulate": OURS,
}
# another task than the trainers', with the numbers of `lora` where it has them, too
LIKE_LORA = dict.fromkeys((*ADAPTER, "lr", "batch", "ema"), AS_LORA) | {
    "steps": OURS, "accumulate": OURS, "seed": OURS,
}  # fmt: skip
STUDENT = {
    "student_steps": "Lightning, which also has 8",
    "schedule": "Lightning",
}
GUIDANCE = "the pipeline"

SOURCES: dict[str, dict[str, str]] = {  # mode: {field of recipe or choices: source}
    "lora": RECIPE | ADAPTER | FLOW,
    "full": RECIPE | FLOW,
    "control": RECIPE | FLOW | {"steps": OURS},
    "differential": RECIPE | ADAPTER | FLOW | {"steps": "ours, for each of the two adapters"},
    "dpo": LIKE_LORA | {
        "beta": "flow_grpo; the report states none",
        "sigma": "the report, equation 3",
        "shift": "musubi",
    },
    "grpo": LIKE_LORA | {
        "lr": "flow_grpo",
        "batch": "ours; flow_grpo: 48 groups an epoch",
        "ema": "ours; flow_grpo has an average",
        "reward": OURS,
        "group": "ours; flow_grpo: 24",
        "sampling_steps": "flow_grpo",
        "noisy": "flow_grpo",
        "starts": "flow_grpo",
        "noise_level": "flow_grpo",
        "guidance": "the pipeline; one for both as in flow_grpo",
        "inner": OURS,
        "clip": "flow_grpo, which has 1e-4 to 1e-5",
        "beta": "flow_grpo's 0.04, of a KL that is ten times smaller than the report's at ten "
        "steps",
    },
    "distill": LIKE_LORA | STUDENT,
    "imitate": LIKE_LORA | STUDENT | {
        "guidance": GUIDANCE, "between": "ours, so that four steps follow twenty",
    },
    "dmd2": LIKE_LORA | {
        "student_steps": "the paper, whose students have 1 or 4",
        "schedule": "Lightning; one step is from 1 to 0 in any",
        "guidance": GUIDANCE,
        "every": "the paper",
        "adversarial": "ours, without real pictures; the paper: 0.003 or 0.005",
    },
}  # fmt: skip


def source_of(mode: str, flag: str, field: str) -> str:
    """Where a default comes from. The student's `steps` are not the recipe's, nor the sampler's."""
    name = flag.removeprefix("--").replace("-", "_") if field == "steps" else field
    return SOURCES[mode][name]
