"""Texts as strips of tokens: in HTML for every script, as a picture down to the single byte.

A piece is [id, bytes in hex], so that a strip can be stored as JSON. Tokens are cut from bytes, not
from characters: a piece may hold a third of a Chinese character, or two and a half of them.
"""

import html
import itertools

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

from ... import bpe
from ...tokenizer import Tokenizer, TokenizerError
from ..panel import Panel
from ..show import PALETTE, Shown, figure

ROLES = ("light", "image", "joint", "accent")  # colours of neighbours, in turn
WIDE, HIGH, STEP = 0.19, 0.3, 0.86  # a byte's cell and a row, in inches
MOST = 56  # bytes in a row of a picture


def pieces(tokenizer: Tokenizer, text: str) -> list[list]:
    """Text -> [id, bytes in hex] of each of its tokens"""
    ids = tokenizer.encode(text)
    wanted = {*ids}
    bytes_of = {
        id: bpe.to_bytes(letters) for letters, id in tokenizer.vocab.items() if id in wanted
    }
    bytes_of |= {id: token.encode() for token, id in tokenizer.added.items()}
    return [[id, bytes_of[id].hex()] for id in ids]


def shown(piece: list) -> str:
    """The text of a piece as it is displayed, with spaces and newlines made visible"""
    data = bytes.fromhex(piece[1])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{data.hex(' ')}>"
    return "".join(visible(letter) for letter in text)


def visible(letter: str) -> str:
    """A letter, or a sign for one that does not show"""
    return {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍"}.get(letter, letter)


class Strip:
    """Tokens side by side, coloured in turn, each with its id; the browser has fonts for them."""

    def __init__(self, pieces: list[list]):
        self.pieces = pieces

    def _repr_html_(self) -> str:
        boxes = []
        for piece, role in zip(self.pieces, itertools.cycle(ROLES)):
            style = f"background:{PALETTE[role]}66;color:{PALETTE['ink']};padding:2px 3px"
            words = html.escape(shown(piece))
            boxes.append(f'<span style="{style}">{words}<sub> {piece[0]}</sub></span>')
        # careful: paper behind it, or the ink is hard to read where the page is dark
        page = f"background:{PALETTE['paper']};line-height:2.1;padding:2px 6px"
        return f'<div style="{page}">{" ".join(boxes)}</div>'

    def __repr__(self) -> str:
        return " | ".join(map(shown, self.pieces))


def picture(rows: dict[str, list[list]], alt: str) -> Shown:
    """Titles and pieces -> a row for each: a cell for every byte, tokens in turns of colour.

    ASCII stands in its cell, any other byte as two hex digits; a line below the cells joins the
    bytes of one character. Under each token is its id.
    """
    longest = max(sum(len(piece[1]) // 2 for piece in row) for row in rows.values())
    if longest > MOST:
        raise ValueError(f"a row must have at most {MOST} bytes to be legible, got {longest}")
    width, height = WIDE * longest + 0.2, STEP * len(rows)
    fig = plt.figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1), xlim=(-0.1, width - 0.1), ylim=(0.06 - height, 0.06))
    ax.axis("off")
    for number, (title, row) in enumerate(rows.items()):
        top = -STEP * number - 0.2
        ax.text(0, top + 0.03, title, fontsize=9, weight="bold", color=PALETTE["ink"], va="bottom")
        _cells(ax, row, top)
        _characters(ax, b"".join(bytes.fromhex(piece[1]) for piece in row), top)
    return figure(fig, alt)


def _cells(ax, row: list[list], top: float) -> None:
    at = 0.0
    for piece, role in zip(row, itertools.cycle(ROLES)):
        data = bytes.fromhex(piece[1])
        box = Rectangle((at, top - HIGH), WIDE * len(data), HIGH, fc=PALETTE[role] + "66", ec="w")
        ax.add_patch(box)
        for n, byte in enumerate(data):
            letter = visible(chr(byte)) if byte < 128 else f"{byte:02x}"
            size, family = (9.5, "DejaVu Sans") if byte < 128 else (6.5, "DejaVu Sans Mono")
            x, y = at + (n + 0.5) * WIDE, top - HIGH / 2
            ax.text(x, y, letter, ha="center", va="center", fontsize=size, family=family)
        turn = len(data) < 2 and piece[0] > 99  # an id that is wider than its token
        ax.text(
            at + WIDE * len(data) / 2, top - HIGH - 0.07, piece[0], ha="center", va="top",
            fontsize=5.5 if turn else 6.5, color=PALETTE["ink"],
        )  # fmt: skip
        at += WIDE * len(data)


def _characters(ax, data: bytes, top: float) -> None:
    at = 0
    for letter in data.decode("utf-8"):
        count = len(letter.encode())
        if count > 1:
            ends = WIDE * at + 0.03, WIDE * (at + count) - 0.03
            ax.plot(ends, [top - HIGH - 0.035] * 2, color=PALETTE["ink"], lw=1.2)
        at += count


class TokenField(Panel):
    """A text field over the strip of what is typed; `strip.value` holds its HTML."""

    summary = "a text field over the strip of its tokens; run the notebook to type"

    def __init__(self, tokenizer: Tokenizer, text: str):
        self.tokenizer = tokenizer
        self.text = ipywidgets.Text(
            text, description="text", layout=ipywidgets.Layout(width="40em")
        )
        self.strip, self.count = ipywidgets.HTML(), ipywidgets.Label()
        super().__init__([self.text], [self.strip, self.count])

    def state(self, text: str) -> tuple[str | None, str]:
        try:
            cut = pieces(self.tokenizer, text)
        except TokenizerError as error:  # half a character; the old strip stays
            return None, str(error)
        return Strip(cut)._repr_html_(), summary(text, cut)


def summary(text: str, cut: list[list]) -> str:
    """How many characters, bytes and tokens, in one line"""
    size = sum(len(piece[1]) // 2 for piece in cut)
    return f"{len(text)} characters, {size} bytes, {len(cut)} tokens"
