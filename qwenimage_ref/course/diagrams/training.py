"""How networks are trained beside one another: distribution matching, and image to LoRA."""

from ...adapt.image_to_lora import STYLE
from ...pocket import stylist
from . import sizes
from .drawing import Drawing

LEFT, MIDDLE, RIGHT = 100, 192, 284  # middles of columns


def direct_distillation() -> Drawing:
    """Teacher and student from one noise: what each is given, and where they are compared"""
    drawing = Drawing("Direct distillation")
    drawing.write(MIDDLE, 14, "noise (B, I, 64), the same for both")
    networks = (
        (92, "teacher, no LoRA", "x, sigma, two prompts", "after guidance", "20 times"),
        (276, "student, LoRA on", "x, sigma, one prompt", "without guidance", "4 times"),
    )
    loss = drawing.box(MIDDLE, 282, 230, "squared error\nof the ends", "accent")
    for x, name, given, step, times in networks:
        role = "text" if x < MIDDLE else "image"
        drawing.frame(x - 84, 50, x + 84, 226, times)
        network = drawing.box(x, 76, 148, f"{name}\n{given}", role)
        drawing.wire((MIDDLE, 20), (MIDDLE, 34), (x, 34), (x, network.top))
        move = drawing.box(x, 168, 148, f"Euler step\n{step}", "noise")
        drawing.wire(
            (x, network.bottom), (x, move.top), label="velocities" if x < MIDDLE else "velocity"
        )
        drawing.wire((x, move.bottom), (x, loss.top))
        end = "end, stored once" if x < MIDDLE else "end (B, I, 64)"
        drawing.write(x + 6, 258, end, anchor="start")
    drawing.wire((loss.right, loss.y), (372, loss.y), (372, network.y), (network.right, network.y))
    drawing.write(
        372, loss.bottom + 18, "gradient, through all four steps, to the LoRA", anchor="end"
    )
    drawing.legend(sizes.rows("I"))
    return drawing


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


def image_to_lora() -> Drawing:
    """One picture's vector to the two matrices of one layer, and where they act"""
    drawing = Drawing("Image to LoRA")
    drawing.write(MIDDLE, 14, "pictures of one style")
    eye = drawing.box(MIDDLE, 38, 210, "image encoder\nfrozen; here VAE and Gram matrix", "image")
    drawing.wire((MIDDLE, 20), (MIDDLE, eye.top))
    split, top = eye.bottom + 34, eye.bottom + 60
    rows_a = [("proj_a.proj_in", "text", "(R)"), ("proj_a.proj_out", "text", "")]
    rows_b = [("proj_b.proj_in", "accent", "(R)"), ("proj_b.proj_out", "accent", "")]
    a = drawing.column(LEFT, top, 140, rows_a)
    b = drawing.column(RIGHT, top, 140, rows_b)
    drawing.wire((MIDDLE, eye.bottom), (MIDDLE, split), (LEFT, split), (LEFT, a[0].top))
    drawing.wire((MIDDLE, split), (RIGHT, split), (RIGHT, b[0].top))
    drawing.write(MIDDLE + 6, eye.bottom + 22, "x (E)", anchor="start")
    layer = drawing.box(MIDDLE, a[1].bottom + 70, 250, "one of 12 L layers\nW x + B (A x)", "joint")
    for x, last, words in ((LEFT, a[1], "A (r, in)"), (RIGHT, b[1], "B (out, r)")):
        drawing.wire((x, last.bottom), (x, layer.top), label=words, at=(x + 6, last.bottom + 26))
    for x, words, anchor in ((30, "in", "start"), (354, "out", "end")):
        drawing.write(x, layer.y - 6, words, anchor=anchor)
    drawing.wire((14, layer.y), (layer.left, layer.y))
    drawing.wire((layer.right, layer.y), (370, layer.y))
    pocket = stylist.config_for(sizes.pocket().transformer)
    letters = {"E": "in_dim", "R": "compress_dim", "r": "rank"}
    words = ("numbers in the vector", "width of the bottleneck", "rank")
    drawing.legend([
        *sizes.rows("L"),
        *((letter, word, getattr(STYLE, name), getattr(pocket, name))
          for (letter, name), word in zip(letters.items(), words)),
    ])  # fmt: skip
    return drawing


def training_step() -> Drawing:
    """Poster, caption, noise and level to one number, and from its gradient to the weights"""
    drawing = Drawing("One training step")
    left, right = 104, 284
    drawing.write(left, 14, "poster (B, 3, H, W)")
    drawing.write(right, 14, "caption")
    vae = drawing.box(left, 34, 150, "VAE encoder\nfrozen, once a poster", "image")
    tower = drawing.box(right, 34, 150, "text tower\ntrained, too", "text")
    drawing.wire((left, 20), (left, vae.top))
    drawing.wire((right, 20), (right, tower.top))
    mix = drawing.box(left, vae.bottom + 46, 176, "mix\n(1 - σ) data + σ noise", "noise")
    drawing.wire((left, vae.bottom), (left, mix.top), label="data (B, I, 64)")
    drawing.write(right, mix.y - 4, "noise (B, I, 64)")
    drawing.write(right, mix.y + 12, "σ (B)")
    drawing.wire((right - 50, mix.y), (mix.right, mix.y))
    network = drawing.box(left, mix.bottom + 46, 176, "MMDiT", "joint")
    drawing.wire((left, mix.bottom), (left, network.top), label="x (B, I, 64)")
    side = right + 60
    drawing.wire((side, tower.bottom), (side, network.y), (network.right, network.y))
    drawing.write(side - 6, network.y - 6, "states (B, T, Dt)", anchor="end")
    loss = drawing.box(
        left, network.bottom + 46, 176, "loss\n(velocity - (noise - data))²", "accent"
    )
    drawing.wire((left, network.bottom), (left, loss.top), label="velocity (B, I, 64)")
    steps = drawing.box(right, loss.top, 150, "Muon and AdamW\nstep the weights", "accent")
    drawing.wire((loss.right, loss.y), (steps.left, steps.y))
    drawing.write(right, loss.top - 8, "gradient")
    average = drawing.box(right, steps.bottom + 34, 150, "average\nwhat is painted with", "image")
    drawing.wire((right, steps.bottom), (right, average.top), label="weights")
    drawing.legend(sizes.rows("T", "I", "Dt"))
    return drawing
