"""Chapter 34: look inside."""

import torch

from ..answers import EX_34_OVERLAP, EX_34_PATCH, EX_34_SEEN
from .common import demand_shape, exercise, near, need, need_none, numbers

# --- which tokens

_TOKENS = (3, 1, 4, 2, 1, 5)  # characters in each, sixteen in all
_SPANS = ((3, 4), (4, 8), (2, 5), (8, 10), (5, 6), (0, 3), (7, 12), (11, 16), (0, 16), (10, 11))


@exercise
def ex_34_overlap(overlapping) -> str:
    """overlapping(lengths, start, stop) -> numbers of the tokens that hold such characters"""
    given = [overlapping(list(_TOKENS), *span) for span in _SPANS]
    need(
        all(isinstance(places, (list, tuple)) for places in given),
        "give a list with the numbers of tokens",
    )
    given = [list(places) for places in given]
    need_none(given, _OVERLAP_MISTAKES, _equal)
    for (start, stop), places in zip(_SPANS, given):
        need(
            places == EX_34_OVERLAP(list(_TOKENS), start, stop),
            f"characters {start} to {stop - 1} of tokens of {', '.join(map(str, _TOKENS))} "
            f"characters are not in tokens {places}",
        )
    need(
        list(overlapping([2, 2], 1, 9)) == [0, 1] and list(overlapping([], 0, 1)) == [],
        "a span may reach past the end, and a text may have no token",
    )
    return "every token that holds a part of the word, and no other"


def _equal(a, b) -> bool:
    return a == b


def _chosen(rule):
    """All cases by a rule: rule(begin, end, start, stop) -> whether a token counts"""

    def places(start, stop):
        ends = [sum(_TOKENS[: n + 1]) for n in range(len(_TOKENS))]
        return [n for n, end in enumerate(ends) if rule(end - _TOKENS[n], end, start, stop)]

    return lambda: [places(*span) for span in _SPANS]


_OVERLAP_MISTAKES = [
    (
        _chosen(lambda begin, end, start, stop: begin <= stop and end >= start),
        "a token that ends where the word begins does not hold any of its characters, nor does one "
        "that begins where it stops",
    ),
    (
        _chosen(lambda begin, end, start, stop: begin < stop and end >= start),
        "a token that ends where the word begins does not hold any of its characters",
    ),
    (
        _chosen(lambda begin, end, start, stop: begin <= stop and end > start),
        "character number stop is not in the word any more, and neither is a token that begins "
        "with it",
    ),
    (
        _chosen(lambda begin, end, start, stop: begin >= start and end <= stop),
        "a token that reaches over the edge of the word holds a part of it, too",
    ),
    (
        _chosen(lambda begin, end, start, stop: start <= begin < stop),
        "the word may begin in the middle of a token, which then holds its first character",
    ),
    (
        _chosen(lambda begin, end, start, stop: start < end <= stop),
        "the word may stop in the middle of a token, which then holds its last character",
    ),
    (
        lambda: [list(range(*span)) for span in _SPANS],
        "these are numbers of characters; a token may hold several of them",
    ),
    (
        lambda: [EX_34_OVERLAP(list(_TOKENS), *span)[:1] for span in _SPANS],
        "a word may need several tokens, and you give the first alone",
    ),
]

# --- who sees whom

_HIDDEN = ([False, True, True, False, False], [True, False, False], [False, True])
_IMAGES = (4, 2, 3)


@exercise
def ex_34_seen(seen) -> str:
    """seen(hidden (T,), I) -> (T + I, T + I), true where a row may see a column"""
    for hidden, image_tokens in zip(map(torch.tensor, _HIDDEN), _IMAGES):
        given, S = seen(hidden, image_tokens), len(hidden) + image_tokens
        demand_shape(given, (S, S), "with a row and a column for each token")
        need(given.dtype == torch.bool, "give true and false, not numbers")
        need_none(given, _SEEN_MISTAKES, torch.equal, hidden, image_tokens)
        right = EX_34_SEEN(hidden, image_tokens)
        wrong = [tuple(pair) for pair in (given != right).nonzero().tolist()]
        need(not wrong, _where(wrong, len(hidden)))
    free = seen(torch.tensor([False, False]), 3)
    need(free.all(), "where no token is hidden, everything is seen")
    return "image tokens do not see the hidden words; everything else is seen"


def _where(wrong: list[tuple], length: int) -> str:
    row, column = wrong[0] if wrong else (0, 0)
    who, whom = ("image" if n >= length else "text" for n in (row, column))
    return f"row {row}, column {column}: whether this {who} token may see that {whom} token"


def _from_all(hidden, image_tokens):
    """The hidden tokens are hidden from text tokens, too."""
    mask = EX_34_SEEN(hidden, image_tokens)
    mask[: len(hidden)] = mask[-1]
    return mask


_SEEN_MISTAKES = [
    (
        _from_all,
        "text tokens may not see the hidden ones either; then the words around them lose them, too",
    ),
    (
        lambda hidden, I: EX_34_SEEN(hidden, I).T,  # noqa: E741
        "rows look and columns are looked at; you keep hidden words from seeing the picture",
    ),
    (
        lambda hidden, I: EX_34_SEEN(~hidden, I),  # noqa: E741
        "true in `hidden` means that a token is hidden; you hide the others",
    ),
    (
        lambda hidden, I: ~EX_34_SEEN(hidden, I),  # noqa: E741
        "true means that a token may be seen; yours is the opposite",
    ),
    (
        lambda hidden, I: EX_34_SEEN(hidden, I).flip(0, 1),  # noqa: E741
        "text comes first in a row and in a column, in its own order",
    ),
    (
        lambda hidden, I: EX_34_SEEN(torch.zeros_like(hidden), I),  # noqa: E741
        "everything is seen, so that nothing would change",
    ),
    (
        lambda hidden, I: EX_34_SEEN(torch.ones_like(hidden), I),  # noqa: E741
        "all of the text is hidden, not the marked tokens alone",
    ),
]

# --- patching


def _blocks(count: int) -> list:
    """Functions (I, D), (T, D) -> (I, D), (T, D) in which both streams depend on each other"""

    def block(n: int):
        a, b, c, d = numbers(4, 3, 3, seed=30 + n) / 3

        def run(img, txt):
            return (
                img + torch.tanh(img @ a + (txt @ b).mean(0)),
                txt + torch.tanh(txt @ c + (img @ d).mean(0) + (txt @ a).cumsum(0)),
            )

        return run

    return [block(n) for n in range(count)]


def _case(count: int, places: list[int], at: int, seed: int) -> tuple:
    streams = [numbers(size, 3, seed=seed + n) for n, size in enumerate((4, 5, 4, 5))]
    return _blocks(count), *streams, places, at


_PATCHES = (_case(4, [1, 2], 2, 50), _case(3, [0], 0, 60), _case(5, [4, 1, 2], 4, 70))


@exercise
def ex_34_patch(patched_run) -> str:
    """patched_run(blocks, img, txt, other_img, other_txt, places, at) -> (I, D)"""
    for case in _PATCHES:
        given = patched_run(*case)
        demand_shape(given, (4, 3), "with the image stream behind the last block")
        need_none(given, _PATCH_MISTAKES, near, *case)
        need(
            near(given, EX_34_PATCH(*case)),
            f"with {len(case[0])} blocks and the patch before block {case[-1]} this is not the "
            "first run's image stream; follow both runs block by block on paper",
        )
    return "the first run with states of the second, before one block"


def _run(blocks, img, txt, other_img, other_txt, places, at, again=False, whole=False, image=False):
    """The solution with one thing otherwise; again: before all later blocks as well."""
    for number, block in enumerate(blocks):
        if number == at or (again and number > at):
            txt = txt.clone()
            chosen = list(range(len(txt))) if whole else places
            txt[chosen] = other_txt[chosen]
            img = other_img if image else img
        img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return img


def _too_late(blocks, *streams):
    *rest, at = streams
    return _run(blocks, *rest, at + 1)


def _first_states(blocks, img, txt, other_img, other_txt, places, at):
    """States as the second run has them before its first block"""
    for number, block in enumerate(blocks):
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        img, txt = block(img, txt)
    return img


def _one_picture(blocks, img, txt, other_img, other_txt, places, at):
    """The second text beside the first picture"""
    for number, block in enumerate(blocks):
        if number == at:
            txt = txt.clone()
            txt[places] = other_txt[places]
        before = img
        img, txt = block(img, txt)
        _, other_txt = block(before, other_txt)
    return img


def _exchanged(blocks, img, txt, other_img, other_txt, places, at):
    return _run(blocks, other_img, other_txt, img, txt, places, at)


def _unpatched(blocks, img, txt, *_):
    for block in blocks:
        img, txt = block(img, txt)
    return img


def _second(blocks, img, txt, other_img, other_txt, *_):
    return _unpatched(blocks, other_img, other_txt)


# careful: where the patch is before the first block, several of these are no mistake
def _if_other(wrong):
    def changed(*case):
        result = wrong(*case)
        return (
            result if not near(result, EX_34_PATCH(*case)) else torch.full_like(result, torch.nan)
        )

    return changed


_PATCH_MISTAKES = [
    (
        _if_other(wrong),
        hint,
    )
    for wrong, hint in (
        (_unpatched, "this is the first run as it would be without any patch"),
        (_second, "this is the picture of the second run"),
        (_exchanged, "you put states of the first run into the second; it is the other way round"),
        (_too_late, "the states come in before block `at`, and you put them in behind it"),
        (
            lambda *case: _run(*case, again=True),
            "you put states in before every later block, too; once is enough to see who reads them",
        ),
        (
            lambda *case: _run(*case, whole=True),
            "all of the text is exchanged, not the tokens at `places` alone",
        ),
        (
            lambda *case: _run(*case, image=True),
            "the image stream is exchanged as well; then of course the other picture comes out",
        ),
        (
            _first_states,
            "you take the states that the second run begins with; by block `at` it has changed "
            "them, so run it, too",
        ),
        (
            _one_picture,
            "the second run has an image stream of its own, and its text attends to that",
        ),
    )
]
