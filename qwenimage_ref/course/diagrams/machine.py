"""The whole machine, the loop inside it, packing, and the two paths of an edit model's picture."""

from .drawing import Drawing
from .sizes import rows

LEFT, RIGHT = 100, 284  # middles of two columns


NAMES = (  # places of the boxes in text_to_image
    "tokenizer", "text_encoder", "noise", "pack", "transformer", "euler_step", "unpack",
    "vae.decode",
)  # fmt: skip


def text_to_image(names: tuple = NAMES) -> Drawing:
    """From a prompt and a seed to a picture, with every shape on the way"""
    drawing, left, right = Drawing("Text to image"), 92, 262
    encode, read, draw, pack, predict, move, unpack, decode = names
    latents = "latents (B, 16, h, w)"
    words = drawing.column(left, 28, 136, [(encode, "text", "ids (B, T + 34)"), (read, "text", "")])
    noise = drawing.column(right, 28, 136, [(draw, "noise", latents), (pack, "noise", "")])
    for x, name, first in ((left, "prompt", words[0]), (right, "seed", noise[0])):
        drawing.write(x, 14, name)
        drawing.wire((x, 18), (x, first.top))
    drawing.frame(8, 138, 376, 322, "× steps")
    network = drawing.box(left, 184, 136, f"{predict}\nMMDiT", "joint")
    step = drawing.box(right, 250, 150, f"{move}\nsigma to sigma_next", "accent")
    down, around, velocity = (left, words[1].bottom), (right, network.top + 16), (left, step.y)
    drawing.wire(down, (left, network.top), label="text states (B, T, Dt)", at=(left + 6, 130))
    drawing.wire(
        (right, noise[1].bottom), (right, step.top), label="x (B, I, 64)", at=(right + 6, 130)
    )
    drawing.wire(around, (network.right, around[1]), label="x", at=(208, around[1] - 5))
    drawing.wire(
        (left, network.bottom), velocity, (step.left, step.y),
        label="velocity (B, I, 64)", at=(left - 78, 294),
    )  # fmt: skip
    out, back = right + 30, 360
    drawing.wire((out, step.bottom), (out, 306), (back, 306), (back, 168), (right, 168))
    end = drawing.column(right, 350, 136, [(unpack, "image", latents), (decode, "image", "")])
    drawing.wire((right - 30, step.bottom), (right - 30, end[0].top))
    drawing.write(right - 36, 340, "x at sigma 0", anchor="end")
    drawing.wire((right, end[1].bottom), (right, end[1].bottom + 24))
    drawing.write(right, end[1].bottom + 38, "pixels (B, 3, H, W)")
    drawing.legend(rows("I", "T", "Dt", "h, w", "H, W"))
    return drawing


def one_file() -> Drawing:
    """The same, with the functions of notebooks/one_file.py in the boxes"""
    return text_to_image((
        "encode", "encode_prompt", "draw_noise", "pack", "predict_velocity", "denoise", "unpack",
        "decode",
    ))  # fmt: skip


def painting_over() -> Drawing:
    """Image to image, and inpainting with the mask: where a picture enters the loop"""
    drawing = Drawing("Image to image and inpainting")
    drawing.write(LEFT, 14, "picture (B, 3, H, W)")
    drawing.write(RIGHT, 14, "seed")
    encode = drawing.box(LEFT, 42, 150, "vae.encode\na sample, normalised", "image")
    noise = drawing.box(RIGHT, 42, 150, "noise\n(B, 16, h, w)", "noise")
    mix = drawing.box(
        192, 136, 250, "mix at the first sigma\n(1 - sigma) clean + sigma noise", "joint"
    )
    for x, box, shape in ((LEFT, encode, "clean (B, 16, h, w)"), (RIGHT, noise, "")):
        drawing.wire((x, 20), (x, box.top))
        drawing.wire((x, box.bottom), (x, mix.top), label=shape)
    drawing.frame(8, 206, 376, 392, "× steps left")
    step = drawing.box(192, 244, 250, "step\ntransformer, guidance, Euler", "text")
    blend = drawing.box(192, 318, 250, "blend\nmask: painted; elsewhere: mixed again", "joint")
    drawing.wire((192, mix.bottom), (192, step.top))
    drawing.write(198, 200, "x at sigma", anchor="start")
    drawing.wire((192, step.bottom), (192, blend.top), label="x at sigma_next")
    drawing.write(14, 300, "mask", anchor="start")
    drawing.wire((28, 308), (28, blend.y), (blend.left, blend.y))
    decode = drawing.box(192, 420, 150, "vae.decode", "image")
    drawing.wire((192, blend.bottom), (192, decode.top), label="x at sigma 0", at=(198, 408))
    drawing.wire((192, 376), (358, 376), (358, 228), (192, 228))
    drawing.wire((192, decode.bottom), (192, decode.bottom + 24))
    drawing.write(192, decode.bottom + 38, "pixels (B, 3, H, W)")
    drawing.legend(rows("h, w", "H, W"))
    return drawing


def sampler_loop() -> Drawing:
    """One step with guidance: two predictions, one velocity, one Euler step"""
    drawing = Drawing("The sampler's loop")
    drawing.write(192, 14, "noise, packed: x (B, I, 64), sigma = 1")
    drawing.frame(8, 34, 376, 330, "× steps")
    for x, name, states in (
        (LEFT, "cond", "the prompt's states"),
        (RIGHT, "uncond", "states of the negative"),
    ):
        box = drawing.box(x, 84, 160, f"transformer\n{states}", "joint")
        drawing.wire((192, 20), (192, 66), (x, 66), (x, box.top))
        drawing.wire((x, box.bottom), (x, 160), label=name)
    guide = drawing.box(
        192, 160, 344, "guide\nuncond + scale (cond - uncond), length of cond", "text"
    )
    step = drawing.box(192, 242, 344, "euler_step\nx + (sigma_next - sigma) velocity", "accent")
    drawing.wire((192, guide.bottom), (192, step.top), label="velocity (B, I, 64)")
    drawing.wire((192, step.bottom), (192, 372), label="x at sigma_next", at=(198, 305))
    drawing.wire((192, 316), (16, 316), (16, 52), (192, 52))
    drawing.write(192, 388, "x at sigma = 0: unpack, then vae.decode")
    drawing.legend(rows("I"))
    return drawing


def packing() -> Drawing:
    """A 2 × 2 patch of latents becomes a token of 64 numbers"""
    drawing = Drawing("Packing")
    drawing.write(92, 14, "latents (B, 16, h, w)")
    drawing.write(300, 14, "tokens (B, I, 64)")
    colours = ("image", "text", "joint", "noise")
    for row in range(4):
        for col in range(4):
            patch = 2 * (row // 2) + col // 2
            drawing.bar(28 + 32 * col, 26 + 32 * row, 32, 32, "", colours[patch])
    for n, colour in enumerate(colours):
        drawing.bar(236, 26 + 32 * n, 128, 32, "16 channels × 2 × 2", colour)
    drawing.wire((162, 74), (230, 74), label="pack", at=(184, 68))
    drawing.wire((230, 108), (162, 108), label="unpack", at=(178, 124))
    drawing.write(192, 182, "order in a token: channel, row in the patch, column in the patch")
    drawing.legend(rows("I", "h, w"))
    return drawing


def edit_paths() -> Drawing:
    """An edit model's picture enters twice: as words' neighbours, and as clean tokens"""
    drawing = Drawing("The two paths of a picture that is edited")
    drawing.write(192, 14, "the picture to edit")
    small = drawing.box(LEFT, 46, 148, "resize\nabout 384² pixels", "image")
    large = drawing.box(RIGHT, 46, 148, "resize\nabout 1024² pixels", "image")
    for box in (small, large):
        drawing.wire((192, 20), (192, 30), (box.x, 30), (box.x, box.top))
    vision, text = drawing.column(
        LEFT, small.bottom + 30, 148,
        [("vision tower\nwhat is in it", "text", "image states (N/4, Dt)"),
         ("text_encoder\nreads it with the prompt", "text", "")],
        gap=56,
    )  # fmt: skip
    drawing.wire((LEFT, small.bottom), (LEFT, vision.top), label="patches")
    drawing.write(14, 190, "prompt", anchor="start")
    drawing.wire((34, 196), (34, text.top))
    encode, cat = drawing.column(
        RIGHT, large.bottom + 30, 148,
        [("vae.encode, pack\nclean, every detail", "image", "img (B, J, 64)"),
         ("concatenate\nbehind x, the target", "image", "")],
        gap=56,
    )  # fmt: skip
    drawing.wire((RIGHT, large.bottom), (RIGHT, encode.top), label="pixels")
    network = drawing.box(
        192, cat.bottom + 34, 332, "transformer\ntext, target and picture in one attention", "joint"
    )
    drawing.wire((LEFT, text.bottom), (LEFT, network.top), label="txt (B, T, Dt)")
    drawing.wire((RIGHT, cat.bottom), (RIGHT, network.top), label="(B, I + J, 64)")
    drawing.wire((192, network.bottom), (192, network.bottom + 24))
    drawing.write(192, network.bottom + 38, "velocity of the target's tokens alone, (B, I, 64)")
    drawing.legend(rows(
        "T", "Dt", I=("tokens of the target", lambda sizes: ""),
        J=("tokens of the picture", lambda sizes: ""),
        N=("patches of its small copy", lambda sizes: ""),
    ))  # fmt: skip
    return drawing
