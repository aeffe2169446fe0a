"""Editing: the two sequences that an edit model reads, with frames and times."""

from .drawing import Drawing
from .sizes import rows

LEFT = 12  # where both sequences begin, in pixels
HIGH = 30  # pixels of a bar


def edit_sequence() -> Drawing:
    """Text states with image tokens among them; the target and two pictures behind it"""
    drawing = Drawing("What the transformer of an edit model reads")
    drawing.write(LEFT, 18, "text stream: the prompt with its pictures", anchor="start")
    texts = [
        ("Picture 1:", 62, "text"), ("N image tokens", 88, "joint"), ("Picture 2:", 62, "text"),
        ("image tokens", 78, "joint"), ("prompt", 70, "text"),
    ]  # fmt: skip
    _bars(drawing, 28, texts)
    drawing.write(LEFT, 74, "position: the diagonal behind the largest grid", anchor="start")
    drawing.write(LEFT, 112, "image stream: the target, and the pictures behind it", anchor="start")
    images = [("target, I noisy", 120, "noise"), ("picture 1, clean", 120, "image"),
              ("picture 2, clean", 120, "image")]  # fmt: skip
    middles = _bars(drawing, 122, images)
    for middle, frame, time in zip(middles, (0, 1, 2), ("sigma", "sigma, or 0", "sigma, or 0")):
        drawing.write(middle, 168, f"frame {frame}")
        drawing.write(middle, 184, f"time {time}")
    blocks = drawing.box(192, 218, 360, "L blocks: joint attention\nevery token sees every token")
    for middle in middles:
        drawing.wire((middle, 190), (middle, blocks.top))
    drawing.bar(LEFT, 302, 120, HIGH, "velocity, I tokens", "noise")
    drawing.wire((middles[0], blocks.bottom), (middles[0], 302))
    drawing.write(140, 321, "what lies behind the target is dropped", anchor="start")
    drawing.legend(
        rows(
            "I", "L",
            N=("image tokens of a square", lambda sizes: 196 if sizes.side > 1000 else 25),
        )
    )  # fmt: skip
    return drawing


def _bars(drawing: Drawing, top: int, parts) -> list[float]:
    """Bars side by side, (words, width, role) each -> their middles"""
    left, middles = LEFT, []
    for words, width, role in parts:
        drawing.bar(left, top, width, HIGH, words, role)
        middles.append(left + width / 2)
        left += width
    return middles
