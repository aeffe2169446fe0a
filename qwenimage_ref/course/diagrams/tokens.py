"""From a prompt to ids and states: the tokenizer's steps in their order, with an example."""

from ... import bpe
from ...tokenizer import ADDED_TOKENS, T2I, Tokenizer
from ..show import pocket_folder
from .drawing import Drawing
from .sizes import rows

MIDDLE, AROUND = 120, 366  # the column of boxes, and the wire that passes three of them
EXAMPLE = "a blue cat"


def tokens() -> Drawing:
    """Prompt, template, words, letters, tokens, ids, states, and the cut"""
    drawing, pocket = Drawing("From a prompt to ids and states"), _pocket()
    between = T2I.replace("{}", EXAMPLE).split(ADDED_TOKENS[1])[2].partition(ADDED_TOKENS[2])[0]
    words = bpe.split_words(between)
    letters = bpe.to_letters(words[-1])
    ranks = {pair: rank for rank, pair in enumerate(pocket.merges)}
    merged = bpe.merge(letters, ranks)
    ids = [pocket.vocab[token] for token in merged]
    drawing.write(MIDDLE, 14, f"prompt: {EXAMPLE!r}")
    boxes = _column(drawing, [
        ("T2I\nthe template around it", "text", "one string", _shortened(between)),
        ("added tokens\ncut out; each is one id", "accent", "text between them", repr(between)),
        ("split_words\nNFC, regular expression", "text", "words", "  ".join(map(repr, words))),
        ("to_letters\nUTF-8, a letter for a byte", "joint", "letters of each word, N bytes",
         f"{' '.join(letters)}    (N = {len(words[-1].encode())})"),
        ("merge\nthe lowest rank first", "joint", "tokens, N or fewer", "  ".join(merged)),
        ("vocab\ntoken to id", "text", "ids (B, T + 34)", "... " + ", ".join(map(str, ids))),
        ("text_encoder\nchapter 03", "text", "states (B, T + 34, Dt)", "one for each token"),
        ("cut\nthe first 34 states", "noise", "", ""),
    ])  # fmt: skip
    added, vocab, last = boxes[1], boxes[5], boxes[-1]
    drawing.wire(
        (added.right, added.y), (AROUND, added.y), (AROUND, vocab.y), (vocab.right, vocab.y),
        label=" ".join(ADDED_TOKENS[1:3]), at=(added.right + 8, added.y - 5),
    )  # fmt: skip
    drawing.wire((MIDDLE, 20), (MIDDLE, boxes[0].top))
    drawing.wire((MIDDLE, last.bottom), (MIDDLE, last.bottom + 24))
    drawing.write(MIDDLE, last.bottom + 38, "text states (B, T, Dt)")
    drawing.legend(rows("Dt", T=("tokens of the prompt, and five", lambda sizes: "")))
    return drawing


def _pocket() -> Tokenizer:
    return Tokenizer.load(pocket_folder() / "tokenizer")


def _shortened(between: str) -> str:
    """A piece of the template with the markers around it, as a string's literal"""
    words = repr(between)[1:-1]
    return f"...{ADDED_TOKENS[1]}{words}{ADDED_TOKENS[2]}..."


def _column(drawing, steps, gap: float = 46) -> list:
    """Boxes under one another; beside each wire what it carries, and below that an example"""
    boxes, top = [], 40
    for n, (lines, role, what, example) in enumerate(steps):
        box = drawing.box(MIDDLE, top, 178, lines, role)
        boxes.append(box)
        top = box.bottom + gap
        if n < len(steps) - 1:
            drawing.wire((MIDDLE, box.bottom), (MIDDLE, top))
            drawing.write(MIDDLE + 8, box.bottom + 18, what, anchor="start")
            drawing.write(MIDDLE + 8, box.bottom + 34, example, anchor="start")
    return boxes
