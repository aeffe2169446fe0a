"""The word of a poster: known signs, laid side by side wherever they explain the ink.

A sign is a letter of the font or a Chinese character of the stroke tables; a word has signs of one
script. A placed sign explains ink a by its template T: the squared error falls from a^2 to
(a - T)^2, a gain of 2aT - T^2. The word is the chain of signs with the largest total gain.
"""

import functools

import numpy as np
from PIL import Image, ImageDraw

from .draw import ANCHOR
from .strokes import ADVANCE, CELL, CHARACTERS, draw_character
from .writing import LETTERS, SIZE, SUPER, font

SIGNS = LETTERS + CHARACTERS  # all that can be read
UNLIKE = 0.2  # share of its ink that a letter may miss before it is "?"; blur costs 0.09
LIKE = 0.3  # least gain of a placed sign, as a share of a perfect one's
GAP = 4  # half pixels by which two letters may stand nearer or farther than the font says
STRAY = 40  # pixels' worth of ink that no letter explains and that is still ignored
_SLACK = 4  # rows
_BEARING = 6  # columns at most from a pen to the ink of its sign; 日 has 5
_LEFT, _WIDE = 3, 33  # columns of a template before the pen, and in all
_UP, _HIGH = 12, 28  # rows of a template above the anchor, and in all


def largest_around(values: np.ndarray) -> np.ndarray:
    """(h, w) -> (h, w) the largest of the nine values around each; tenfold as fast as Pillow's."""
    out = values.copy()
    np.maximum(out[1:], values[:-1], out=out[1:])
    np.maximum(out[:-1], values[1:], out=out[:-1])
    rows = out.copy()
    np.maximum(out[:, 1:], rows[:, :-1], out=out[:, 1:])
    np.maximum(out[:, :-1], rows[:, 1:], out=out[:, :-1])
    return out


def read_word(picture: np.ndarray, paper: np.ndarray, ink: np.ndarray, text: np.ndarray) -> str:
    """(H, W, 3) uint8, paper and ink (3,) RGB, (H, W) bool: where the text is -> the word

    "?" stands for a letter that resembles none, a last "?" for ink beside the letters.
    """
    amount = (picture - paper) @ (ink - paper) / ((ink - paper) ** 2).sum()
    amount = np.where(largest_around(text), amount.clip(-0.5, 1.5), 0).astype(np.float32)
    columns = np.nonzero(text.any(0))[0]
    first, last = columns[0] - _BEARING, columns[-1]  # pens worth trying, in pixels

    # careful: the row is chosen by whole chains; two J's, slightly too low, make a fine U
    middle = len(picture) - ANCHOR
    rows = range(middle - _SLACK, middle + _SLACK + 1)
    coarse = _gain(amount, rows, first, last)
    pens = 2 * np.arange(first, last + 1)  # unit: half a pixel
    row = rows[np.argmax([_chain(gains, pens, 0)[0] for gains in coarse])]
    pens = np.arange(2 * first, 2 * last + 2)
    fine = []
    for half in (2 * row - 1, 2 * row, 2 * row + 1):
        fine.append((*_chain(_half_gain(amount, half, first, last), pens, half % 2), half))
    _, placed, half = max(fine, key=lambda chain: chain[0])
    return _judge(amount, placed, half)


@functools.cache
def _template(letter: str, right: int, down: int) -> np.ndarray:
    """(_HIGH, _WIDE) ink in 0..1 of a letter moved by half pixels (0 or 1 each)"""
    canvas = Image.new("L", (_WIDE * SUPER, _HIGH * SUPER))
    pen, left, middle = ImageDraw.Draw(canvas), _LEFT + right / 2, _UP + down / 2
    if letter in CHARACTERS:
        draw_character(pen, letter, left, middle - CELL / 2, 255, SUPER)
    else:
        at = (left * SUPER, middle * SUPER)
        pen.text(at, letter, 255, font(SIZE * SUPER), anchor="lm")
    return np.asarray(canvas.reduce(SUPER)).astype(np.float32) / 255


@functools.cache
def _alphabet(right: int, down: int) -> tuple[np.ndarray, np.ndarray]:
    """Templates of all N signs (N, _HIGH * _WIDE) and the sum of each one's squares (N,)"""
    stack = np.stack([_template(sign, right, down).reshape(-1) for sign in SIGNS])
    return stack, (stack**2).sum(1)


@functools.cache
def _metrics() -> tuple[np.ndarray, np.ndarray]:
    """Half pixels each sign moves the pen (N,), and what the font adds between two (N, N)

    Between a letter and a Chinese character it is infinite: no word has both.
    """
    length = font(SIZE * SUPER).getlength
    alone = np.array([length(letter) for letter in LETTERS])
    pairs = np.array([[length(a + b) for b in LETTERS] for a in LETTERS])
    advance = np.full(len(SIGNS), 2.0 * ADVANCE)
    advance[: len(LETTERS)] = alone * 2 / SUPER
    kern = np.full((len(SIGNS),) * 2, np.inf)
    kern[: len(LETTERS), : len(LETTERS)] = (pairs - alone[:, None] - alone) * 2 / SUPER
    kern[len(LETTERS) :, len(LETTERS) :] = 0
    return advance, kern


def _gain(amount, rows, first, last, right=0, down=0):
    """Gain of every sign at anchors in `rows`, pens `first..last` -> (rows, pens, N)"""
    stack, squares = _alphabet(right, down)
    ink = np.pad(amount, _WIDE)
    top, left = rows[0] - _UP + _WIDE, first - _LEFT + _WIDE
    ink = ink[top : top + len(rows) - 1 + _HIGH, left : left + last - first + _WIDE]
    windows = np.lib.stride_tricks.sliding_window_view(ink, (_HIGH, _WIDE))
    flat = windows.reshape(-1, _HIGH * _WIDE)
    return (2 * flat @ stack.T - squares).reshape(*windows.shape[:2], len(SIGNS))


def _half_gain(amount, half, first, last):
    """Gain of every sign with the anchor at half row `half` -> (pens in half pixels, N)"""
    both = [_gain(amount, [half // 2], first, last, right, half % 2)[0] for right in (0, 1)]
    return np.stack(both, axis=1).reshape(-1, len(SIGNS))


def _chain(gains, pens, down) -> tuple[float, list[tuple[str, int]]]:
    """(P, N), (P,) in half pixels -> gain of the best chain, and its signs with their pens"""
    advance, kern = _metrics()
    around = np.pad(gains, ((1, 1), (0, 0)))
    peak = (gains >= around[:-2]) & (gains >= around[2:])
    peak &= gains > LIKE * _alphabet(0, down)[1]
    at, letters = np.nonzero(peak)  # in the order of the pens
    if not len(at):
        return 0.0, []
    total, pens = gains[at, letters], pens[at]  # best gain of a chain that ends with this letter
    gaps = pens[:, None] - (pens + advance[letters] + kern[letters][:, letters].T)
    joins = np.tril(abs(gaps) <= GAP, -1)  # (i, j): letter i may follow letter j
    before = np.full(len(pens), -1)
    for i, may_follow in enumerate(joins):
        so_far = total * may_follow
        j = so_far.argmax()
        if so_far[j] > 0:
            before[i], total[i] = j, total[i] + so_far[j]
    i, best, chain = int(total.argmax()), float(total.max()), []
    while i >= 0:
        chain.append((SIGNS[letters[i]], int(pens[i])))
        i = before[i]
    return best, chain[::-1]


def _judge(amount, placed, half) -> str:
    """The word of placed letters (pens and the row in half pixels), what is unlike marked "?"."""
    high, wide = amount.shape
    drawn = np.zeros((high + 2 * _WIDE, wide + 2 * _WIDE), np.float32)
    for letter, pen in placed:
        top, left = half // 2 - _UP + _WIDE, pen // 2 - _LEFT + _WIDE
        spot = drawn[top : top + _HIGH, left : left + _WIDE]
        np.maximum(spot, _template(letter, pen % 2, half % 2), out=spot)
    drawn = drawn[_WIDE:-_WIDE, _WIDE:-_WIDE]
    error = (amount - drawn) ** 2
    word, alone = "", np.ones(wide, bool)
    for letter, pen in placed:
        end = pen + _metrics()[0][SIGNS.index(letter)]
        own = slice(max(0, pen // 2 - 1), int(end) // 2 + 2)
        word += letter if error[:, own].sum() < UNLIKE * (drawn[:, own] ** 2).sum() else "?"
        alone[own] = False
    return word + ("?" if amount[:, alone].sum() > STRAY else "")
