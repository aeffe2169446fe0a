"""Causal tracing: two runs side by side, and states that go from one into the other."""

from .drawing import Drawing

FIRST, SECOND = 92, 292  # middles of the two runs
WIDE = 136  # pixels, a block


def causal_tracing() -> Drawing:
    """Before block b the word's states of the second run take the place of the first run's"""
    drawing = Drawing("States of one word in the run of another")
    for x, word in ((FIRST, '… the text "CAT"'), (SECOND, '… the text "DOG"')):
        drawing.write(x, 16, word)
        blocks, top = [], 52
        for name in ("block 0", "block b", "last block"):
            blocks.append(drawing.box(x, top, WIDE, f"{name}\nimg and txt meet", "joint"))
            top = blocks[-1].bottom + 54
        drawing.wire((x, 22), (x, blocks[0].top), label="img, txt", at=(x + 8, 40))
        for above, below in zip(blocks, blocks[1:]):
            drawing.wire((x, above.bottom), (x, below.top))
        drawing.wire((x, blocks[-1].bottom), (x, blocks[-1].bottom + 26))
        drawing.write(x, blocks[-1].bottom + 40, "CAT or DOG?" if x == FIRST else "DOG")
    middle = (blocks[0].bottom + blocks[1].top) / 2
    drawing.wire((SECOND, middle), (FIRST, middle))
    drawing.write(192, middle - 6, "txt at the word's tokens")
    return drawing
