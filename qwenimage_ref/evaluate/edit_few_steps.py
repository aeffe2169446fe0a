"""Does the painter's Lightning LoRA edit, too? The same instructions in twenty and in four steps.

    python -m qwenimage_ref.evaluate.edit_few_steps FOLDER      3 minutes at 80; resumes

The LoRA was trained on the painter, from whose weights the editor's were trained further, and never
with a picture. The answers are written to data/measurements/edit_few_steps.json.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from ..pipeline import QwenImage
from ..posters.edits import Edit
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .editing import answers, instructions
from .few_steps import STUDENT, TEACHER, Sampling, applied
from .intervals import interval, paired
from .survey import Progress, editor_command, terms_of

RECORD = MEASUREMENTS / "edit_few_steps.json"
SAMPLINGS = (TEACHER, Sampling(4, 4, lightning=False), Sampling(4), STUDENT)


def painter(pipe: QwenImage, sampling: Sampling) -> Callable:
    """An editor that paints with a sampling, whatever guidance and steps it is called with"""

    def painted(prompt, negative_prompt, true_cfg_scale, height, width, steps, seed, image):
        return pipe(
            prompt, negative_prompt, sampling.guidance, height, width, sampling.steps, seed,
            image=image,
        )  # fmt: skip

    return painted


def bits(pipe: QwenImage, wanted: list[Edit], sampling: Sampling) -> dict:
    """-> obeyed, untouched and both as a 0 or 1 for each instruction"""
    with applied(pipe, sampling):
        return answers(painter(pipe, sampling), wanted)


def measure(folder: Path, count: int, record: Path) -> dict:
    """Measure an editor and write the record. Returns it."""
    pipe = QwenImage.from_pretrained(folder)
    wanted, terms = instructions(count), terms_of(pipe, count)
    progress = Progress(record, terms)
    for sampling in SAMPLINGS:
        progress.measure(str(sampling), bits, pipe, wanted, sampling)
    both = {str(each): progress.results[str(each)] for each in SAMPLINGS}
    right = {name: [bit == "1" for bit in answer["both"]] for name, answer in both.items()}
    student = right[str(STUDENT)]
    record_of = terms | {
        "shares": {
            name: {part: interval(bits.count("1"), len(bits)) for part, bits in answer.items()}
            for name, answer in both.items()
        },
        # everything right, Lightning minus the others
        "beside": {
            name: paired(student, other) for name, other in right.items() if other is not student
        },
    }
    write_record(record_of, record)
    progress.file.unlink()
    return record_of


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    record = editor_command("edit_few_steps", "instructions", 80, RECORD, measure, arguments)
    if record is None:
        return 2
    for name, shares in record["shares"].items():
        print(name, *(share["right"] for share in shares.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
