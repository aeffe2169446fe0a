"""Layers: the tokens of a picture that is taken apart, and tiles of a large picture."""

from .drawing import Drawing

LEFT, MIDDLE, RIGHT = 62, 192, 322  # middles of three columns
SIDE, FADE = 88, 30  # pixels: of what a tile has for itself, and of an overlap


def layered_sequence() -> Drawing:
    """Text, frames of noise and the clean picture in one sequence; what comes out of it"""
    drawing = Drawing("The sequence of Qwen-Image-Layered")
    sources = [
        drawing.box(LEFT, 10, 112, "prompt\ntext encoder", "text"),
        drawing.box(MIDDLE, 10, 112, "noise\nn + 1 frames", "noise"),
        drawing.box(RIGHT, 10, 112, "picture, RGBA\nVAE encoder", "image"),
    ]
    for box, shape in zip(sources, ("(T, Dt)", "((n + 1) I, 64)", "(I, 64)")):
        drawing.wire((box.x, box.bottom), (box.x, 96), label=shape)
    drawing.bar(10, 96, 104, 30, "T tokens", "text")
    for n, name in enumerate(("0", "1", "…", "n")):
        drawing.bar(122 + 35 * n, 96, 35, 30, name, "noise")
    drawing.bar(270, 96, 104, 30, "−1", "image")
    for x, words in ((LEFT, "diagonal"), (MIDDLE, "frames 0 to n"), (RIGHT, "frame −1")):
        drawing.write(x, 142, words)
    mmdit = drawing.box(MIDDLE, 172, 364, "MMDiT\nall tokens see each other", "joint")
    drawing.wire((MIDDLE, 148), (MIDDLE, mmdit.top))
    step = drawing.box(MIDDLE, 254, 200, "Euler step\non frames 0 to n alone", "noise")
    drawing.wire((MIDDLE, mmdit.bottom), (MIDDLE, step.top), label="velocity, ((n + 1) I, 64)")
    ends = [
        drawing.box(LEFT, 350, 112, "composite, 0\ndropped", "noise"),
        drawing.box(MIDDLE, 350, 112, "layer 1\nVAE decoder", "image"),
        drawing.box(RIGHT, 350, 112, "layer n\nVAE decoder", "image"),
    ]
    for end in ends:
        drawing.wire((MIDDLE, step.bottom), (MIDDLE, 326), (end.x, 326), (end.x, end.top))
    for end in ends[1:]:
        drawing.wire((end.x, end.bottom), (end.x, 420))
        drawing.write(end.x, 434, "(4, H, W)")
    return drawing


def vae_tiles() -> Drawing:
    """Four tiles of a picture and where they overlap; below, the shares along a row"""
    drawing = Drawing("Tiles that fade into each other")
    spans = [(70, SIDE), (70 + SIDE, FADE), (70 + SIDE + FADE, SIDE)]
    names = iter("A B C D".split())
    for row, (top, height) in enumerate((left - 40, size) for left, size in spans):
        for col, (left, width) in enumerate(spans):
            role = ("image", "joint", "accent")[(row == 1) + (col == 1)]
            drawing.bar(left, top, width, height, next(names) if role == "image" else "", role)
    edge = spans[2][0] + SIDE + 10
    for y, words in ((78, "one tile"), (138, "two"), (153, "tiles"), (200, "one tile")):
        drawing.write(edge, y, words, anchor="start")
    drawing.write(70 + SIDE + FADE / 2, 22, "four in the middle")
    top, bottom, (start, end) = 286, 336, (70 + SIDE, 70 + SIDE + FADE)
    drawing.wire((70, top), (start, top), (end, bottom), (end + SIDE, bottom), arrow=False)
    drawing.wire((70, bottom), (start, bottom), (end, top), (end + SIDE, top), arrow=False)
    drawing.write(70, top - 8, "share of A: 1", anchor="start")
    drawing.write(end + SIDE, top - 8, "share of B: 1", anchor="end")
    for x, words, anchor in ((start, "pixel 192", "end"), (end, "pixel 256", "start")):
        drawing.write(x, bottom + 20, words, anchor=anchor)
    return drawing
