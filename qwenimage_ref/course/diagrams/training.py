"""How networks are trained beside one another: distribution matching."""

from . import sizes
from .drawing import Drawing

LEFT, MIDDLE, RIGHT = 100, 192, 284  # middles of columns


def matching() -> Drawing:
    """Student, fake and teacher: one network, two adapters, and the gradient between them"""
    drawing = Drawing("Distribution matching")
    drawing.write(MIDDLE, 14, "noise (B, I, 64)")
    student = drawing.box(MIDDLE, 38, 190, "student\nits LoRA on; one step", "image")
    drawing.wire((MIDDLE, 20), (MIDDLE, student.top))
    plus = drawing.join(MIDDLE, student.bottom + 54, "+")
    drawing.wire((MIDDLE, student.bottom), (MIDDLE, plus.top), label="picture (B, I, 64)")
    drawing.wire((RIGHT, plus.y), (plus.right, plus.y))
    drawing.write(RIGHT + 6, plus.y + 4, "new noise", anchor="start")
    top = plus.bottom + 40
    fake = drawing.box(LEFT, top, 150, "fake\nits LoRA on", "noise")
    teacher = drawing.box(RIGHT, top, 150, "teacher\nno LoRA, guided", "text")
    split = plus.bottom + 18
    drawing.wire((MIDDLE, plus.bottom), (MIDDLE, split), (LEFT, split), (LEFT, fake.top))
    drawing.wire((MIDDLE, split), (RIGHT, split), (RIGHT, teacher.top))
    drawing.write(RIGHT + 6, split - 5, "x at sigma", anchor="end")
    pull = drawing.box(
        MIDDLE, fake.bottom + 48, 190, "difference\nfake less teacher, scaled", "accent"
    )
    for x, words in ((LEFT, "clean picture"), (RIGHT, "clean picture")):
        network = fake if x == LEFT else teacher
        drawing.wire((x, network.bottom), (x, pull.y), (
            pull.left if x == LEFT else pull.right, pull.y
        ))  # fmt: skip
        drawing.write(x + 6, network.bottom + 24, words, anchor="start")
    down = pull.bottom + 24
    drawing.wire(
        (MIDDLE, pull.bottom),
        (MIDDLE, down),
        (12, down),
        (12, student.y),
        (student.left, student.y),
    )
    drawing.write(MIDDLE + 6, down + 4, "gradient of the picture", anchor="start")
    drawing.legend(sizes.rows("I"))
    return drawing
