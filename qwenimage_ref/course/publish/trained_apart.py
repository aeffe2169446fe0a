"""The records and variants that `make derived` does not make again, and the commands that do.

The trainings behind them take hours together. After new pocket weights `stale` names those that
still belong to the old ones; `make derived` prints its lines.
"""

from typing import NamedTuple

from ...evaluate.survey import has_terms
from ...repository import MEASUREMENTS

# weights of data/pocket, as records name them, from which the editors and the layered model began
BASE = "8f520a5ec795 a45e1e7a5f04 9506bfaf81f4"


class Apart(NamedTuple):
    """How a record is made again, in order; each command is typed in the repository's folder.

    variant: the record names the weights of this variant, a model of its own, not the pocket's.
    base: the pocket's weights from which a model of its own was trained, be it kept as a variant or
    not; BASE is changed by hand after it.
    """

    commands: tuple[str, ...]
    variant: str = ""
    base: str = ""


TRAIN, EVALUATE = "python -m qwenimage_ref.pocket", "python -m qwenimage_ref.evaluate"
APART = {  # name of a record in data/measurements -> how it is made again
    "controlling": Apart(
        (
            f"{TRAIN}.controls union",
            f"{TRAIN}.controls blockwise",
            f"{TRAIN}.controls in-context",
            "cp runs/controls/union.safetensors data/variants/control_union.safetensors",
            "cp runs/controls/blockwise.safetensors data/variants/control_blockwise.safetensors",
            "cp runs/controls/in-context.safetensors data/variants/control_in_context.safetensors",
            f"{EVALUATE}.controlling runs/controls",
        )
    ),
    "binding": Apart(
        (
            f"{TRAIN}.regional --to data/variants/eligen.safetensors",
            f"{TRAIN}.regional --whole",
            f"{EVALUATE}.binding data/variants/eligen.safetensors runs/regional/whole.safetensors",
        )
    ),
    "layering": Apart(
        (
            f"{TRAIN}.layered",
            f"{TRAIN}.variants keep layered runs/layered/layered --kind Q4_0",
            f"{TRAIN}.variants write layered runs/layered/kept",
            f"{EVALUATE}.layering runs/layered/kept",
        ),
        variant="layered",
        base=BASE,
    ),
    "editing_edit": Apart(
        (
            f"{TRAIN}.editor edit",
            f"{TRAIN}.editor edit-further",
            f"{TRAIN}.variants keep edit runs/editor/edit-further/editor",
            f"{TRAIN}.variants write edit runs/editor/kept/edit",
            f"{EVALUATE}.editing runs/editor/kept/edit",
        ),
        variant="edit",
        base=BASE,
    ),
    **{
        f"editing_edit-{name}": Apart(
            (
                f"{TRAIN}.editor edit-{name}",
                f"{EVALUATE}.editing runs/editor/edit-{name}/editor --count 160{path} "
                f"--to data/measurements/editing_edit-{name}.json",
            ),
            base=BASE,
        )
        for name, path in (
            ("both-paths", ""),
            ("vae-only", " --path vae"),
            ("vision-only", " --path vision"),
        )
    },
    **{
        f"editing_{name}": Apart(
            (
                f"{TRAIN}.editor {name}",
                f"{EVALUATE}.editing runs/editor/{name}/editor --count 160 "
                f"--to data/measurements/editing_{name}.json",
            ),
            base=BASE,
        )
        for name in ("edit-2509", "edit-2511", "edit-2509-further")
    },
    "edit_time_zero": Apart(
        (f"{EVALUATE}.edit_time_zero runs/editor/edit-2509/editor runs/editor/edit-2511/editor",),
        base=BASE,
    ),
    "edit_numbers": Apart(
        (
            f"{EVALUATE}.edit_numbers edit-2509=runs/editor/edit-2509/editor "
            "edit-2509-further=runs/editor/edit-2509-further/editor",
        ),
        base=BASE,
    ),
    "edit_chains": Apart(
        (f"{EVALUATE}.edit_chains runs/editor/kept/edit",), variant="edit", base=BASE
    ),
    "edit_few_steps": Apart(
        (f"{EVALUATE}.edit_few_steps runs/editor/kept/edit",), variant="edit", base=BASE
    ),
    "edit_displaced": Apart(
        (
            f"{TRAIN}.lowres runs/editor/kept/edit",
            f"{EVALUATE}.edit_displaced runs/editor/kept/edit "
            "--lora runs/lowres/lowres_fix.safetensors",
        ),
        variant="edit",
        base=BASE,
    ),
    "short_curriculum": Apart((f"{EVALUATE}.short_curriculum",), base=BASE),
    "one_step": Apart(
        (
            f"{TRAIN}.students distill",
            f"{TRAIN}.students dmd2",
            f"{EVALUATE}.one_step distill=runs/students/distill.safetensors "
            "dmd2=runs/students/dmd2.safetensors",
        )
    ),
    "styling": Apart(
        (
            f"{TRAIN}.stylist",
            f"{EVALUATE}.styling runs/stylist/stylist.safetensors",
        )
    ),
}


def stale(weights: str) -> list[str]:
    """Lines that name what belongs to other weights than these, with the commands; none if nothing

    weights: those of data/pocket, as records name them.
    """
    lines = []
    for name, apart in APART.items():
        file = MEASUREMENTS / f"{name}.json"
        current = apart.base == weights if apart.base else has_terms(file, {"weights": weights})
        if not current:
            lines.append(f"data/measurements/{name}.json belongs to other weights; train again:")
            lines += [f"    {command}" for command in apart.commands]
    return lines
