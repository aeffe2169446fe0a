"""How one word merges, pair by pair: as lines to read and as a tree.

A tree is a letter of `bpe.LETTER_OF`, or [rank, left, right]; so it can be stored as JSON.
"""

import matplotlib.pyplot as plt

from ... import bpe
from ..show import PALETTE, Shown, figure
from .token_strips import visible

ACROSS, DOWN = 0.52, 0.36  # steps from leaf to leaf and from merge to merge, in inches


def grow(word: str, ranks: dict[tuple[str, str], int]) -> list:
    """One word -> the trees of its tokens. The last two are the merges in the order they happen."""
    return history(word, ranks)[-1][1]


def history(word: str, ranks: dict[tuple[str, str], int]) -> list[tuple]:
    """One word -> (rank of the merge, the trees after it) from the bytes on, whose rank is None"""
    trees = list(bpe.to_letters(word))
    states = [(None, list(trees))]
    while True:
        pairs = [(letters(a), letters(b)) for a, b in zip(trees, trees[1:])]
        known = [(ranks[pair], i) for i, pair in enumerate(pairs) if pair in ranks]
        if not known:
            return states
        rank, i = min(known)
        trees[i : i + 2] = [[rank, trees[i], trees[i + 1]]]
        states.append((rank, list(trees)))


def letters(tree) -> str:
    """All leaves of a tree, from left to right"""
    return tree if isinstance(tree, str) else letters(tree[1]) + letters(tree[2])


def label(token: str) -> str:
    """A token in a drawing: as text if its bytes are ASCII, else in hex"""
    data = bpe.to_bytes(token)
    if max(data) < 128:
        return "".join(visible(chr(byte)) for byte in data)
    return data.hex(" ")


def merges(tree) -> list[int]:
    """Ranks of a tree's merges"""
    return [] if isinstance(tree, str) else [tree[0], *merges(tree[1]), *merges(tree[2])]


def picture(words: dict[str, list], alt: str) -> Shown:
    """Titles and the trees of a word each -> drawn side by side, leaves above, low ranks first"""
    counts = [sum(len(letters(tree)) for tree in trees) for trees in words.values()]
    depth = max(len([r for tree in trees for r in merges(tree)]) for trees in words.values())
    fig, axes = plt.subplots(
        1, len(words), figsize=(ACROSS * sum(counts) + 0.8 * len(words), DOWN * (depth + 1) + 0.5),
        width_ratios=counts, squeeze=False, layout="constrained",
    )  # fmt: skip
    for ax, (title, trees), count in zip(axes[0], words.items(), counts):
        ax.set_title(title, fontsize=10)
        ax.set(xlim=(-0.7, count - 0.3), ylim=(depth + 0.6, -0.6))
        ax.axis("off")
        order = sorted(rank for tree in trees for rank in merges(tree))
        first = 0
        for tree in trees:
            _draw(ax, tree, first, order)
            first += len(letters(tree))
    return figure(fig, alt)


def _draw(ax, tree, first: int, order: list[int]) -> tuple[float, float]:
    """Draws a tree whose first leaf is at x = first -> where its root is"""
    if isinstance(tree, str):
        _tag(ax, first, 0, label(tree), "noise", "")
        return first, 0
    rank, left, right = tree
    ends = _draw(ax, left, first, order), _draw(ax, right, first + len(letters(left)), order)
    x, y = sum(end[0] for end in ends) / 2, order.index(rank) + 1
    for end_x, end_y in ends:
        ax.plot([end_x, end_x, x], [end_y, y, y], color=PALETTE["ink"], lw=1, zorder=0)
    _tag(ax, x, y, label(letters(tree)), "text", f"{rank:,}")
    return x, y


def _tag(ax, x: float, y: float, words: str, role: str, rank: str) -> None:
    box = {"boxstyle": "round,pad=0.22", "fc": "w", "ec": PALETTE[role]}
    ax.text(x, y, words, ha="center", va="center", fontsize=9, bbox=box)
    if rank:
        ax.annotate(
            rank, (x, y), (3, -8), textcoords="offset points", ha="left", va="top",
            fontsize=7, color=PALETTE["wrong"],
        )  # fmt: skip
