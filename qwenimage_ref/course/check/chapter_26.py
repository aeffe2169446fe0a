"""Chapter 26: regions."""

import torch

from ..answers import EX_26_INSIDE, EX_26_MASK, EX_26_PLACES
from .common import demand_shape, exercise, need, need_none, numbers, wrong_here

# --- which tokens lie inside

_GRIDS = ((3, 5), (4, 2), (1, 6))  # rows and columns of tokens


@exercise
def ex_26_inside(inside) -> str:
    """inside(mask (h, w)) -> (I,), true for tokens of which any latent is inside"""
    for number, (rows, cols) in enumerate(_GRIDS):
        mask = numbers(2 * rows, 2 * cols, seed=number) > 0.8
        given = inside(mask)
        demand_shape(given, (rows * cols,), "with one truth value for each token")
        need(given.dtype == torch.bool, "give true and false, not numbers")
        right = EX_26_INSIDE(mask)
        need_none(given, wrong_here(_INSIDE_MISTAKES, right, _same, mask), _same, mask)
        need(
            torch.equal(given, right),
            f"of {rows} rows and {cols} columns of tokens some are wrong; draw them on paper",
        )
    need(not inside(torch.zeros(4, 6, dtype=torch.bool)).any(), "an empty mask has no token")
    return "every token that the mask touches, row by row"


def _quarters(mask):
    """(h, w) -> (rows, cols, 4), the latents of each token"""
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.reshape(rows, 2, cols, 2).permute(0, 2, 1, 3).flatten(2)


_INSIDE_MISTAKES = [
    (
        lambda mask: _quarters(mask).all(2).flatten(),
        "you count tokens that lie inside as a whole; one latent of the four is enough",
    ),
    (
        lambda mask: (_quarters(mask).float().mean(2) >= 0.5).flatten(),
        "you count tokens from a half on; one latent of the four is enough",
    ),
    (
        lambda mask: (_quarters(mask).float().mean(2) > 0.5).flatten(),
        "you count tokens from a half on; one latent of the four is enough",
    ),
    (
        lambda mask: _quarters(mask)[..., 0].flatten(),
        "you look at the upper left latent of each token alone",
    ),
    (
        lambda mask: _quarters(mask).any(2).T.flatten(),
        "tokens are counted row by row; yours go column by column",
    ),
    (
        lambda mask: mask.flatten().reshape(-1, 4).any(1),
        "four neighbours in a row are no token; a token is two rows of two",
    ),
    (
        lambda mask: mask.reshape(2, mask.shape[0] // 2, 2, -1).any(2).any(0).flatten(),
        "latents that are half a picture apart are no token; a token is two by two neighbours",
    ),
    (
        lambda mask: ~EX_26_INSIDE(mask),
        "true stands for inside, and yours is the opposite",
    ),
]

# --- where texts stand

_TEXTS = (([2, 3], 8, 3), ([3, 2, 4], 5, 8), ([1], 9, 4), ([2, 6], 7, 7), ([4, 1, 1, 3], 2, 3))


@exercise
def ex_26_places(places) -> str:
    """places(lengths, rows, cols) -> (T, 3): frame, row and column of every text token"""
    for lengths, rows, cols in _TEXTS:
        given = places(list(lengths), rows, cols)
        demand_shape(given, (sum(lengths), 3), "with three numbers for each text token")
        need(not given.is_floating_point(), "places are integers")
        case = lengths, rows, cols
        right = EX_26_PLACES(*case)
        need_none(given, wrong_here(_PLACES_MISTAKES, right, _same, *case), _same, *case)
        need(
            torch.equal(given, right),
            f"texts of {', '.join(map(str, lengths))} tokens beside {rows} rows and {cols} columns "
            "stand elsewhere; where would the first one stand, were it alone?",
        )
    return "every text begins where it would begin alone"


def _from(lengths, start, restart=True, axes=(1, 1, 1)):
    """Places from a start, on some of the axes; restart: every text begins there again"""
    runs, at = [], start
    for length in lengths:
        runs.append(torch.arange(at, at + length))
        at = start if restart else at + length
    return torch.cat(runs).unsqueeze(1) * torch.tensor(axes)


_PLACES_MISTAKES = [
    (
        lambda lengths, rows, cols: _from(lengths, max(rows // 2, cols // 2), restart=False),
        "the texts march on one behind the other; each of them begins where the first one does",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, 0),
        "text begins off the corner of the picture, not in its middle",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, max(rows, cols)),
        "the picture is centred, so its corner lies half of a side from the middle",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, rows // 2),
        "the longer side decides, be it rows or columns",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, min(rows // 2, cols // 2)),
        "the longer side decides, and you take the shorter one",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, -(-max(rows, cols) // 2)),
        "half of an odd side is rounded down",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, max(rows // 2, cols // 2) + 1),
        "you begin one place too late",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, max(rows // 2, cols // 2), axes=(1, 0, 0)),
        "text moves along all three axes alike, on the diagonal",
    ),
    (
        lambda lengths, rows, cols: _from(lengths, max(rows // 2, cols // 2), axes=(0, 1, 1)),
        "text moves along all three axes alike, on the diagonal",
    ),
]

# --- who sees whom

_REGIONS = (([2, 3, 1], 5), ([1, 2, 2, 4], 6), ([3], 4))  # lengths, the prompt's last; I


@exercise
def ex_26_mask(mask) -> str:
    """mask(lengths, seen (R, I)) -> (S, S), true where a token (row) may see another (column)"""
    for number, (lengths, image_tokens) in enumerate(_REGIONS):
        R, T = len(lengths) - 1, sum(lengths)
        seen = numbers(R, image_tokens, seed=number) > 0
        if R > 1:
            seen[:2, 0], seen[1, 1:] = True, False  # one token in two regions
        given, S = mask(list(lengths), seen), T + image_tokens
        demand_shape(given, (S, S), "with a row and a column for each token")
        need(given.dtype == torch.bool, "give true and false, not numbers")
        right = EX_26_MASK(lengths, seen)
        case = lengths, seen
        need_none(given, wrong_here(_MASK_MISTAKES, right, _same, *case), _same, *case)
        wrong = [tuple(pair) for pair in (given != right).nonzero().tolist()]
        need(not wrong, _where(wrong, lengths))
    empty = mask([2, 1], torch.zeros(1, 3, dtype=torch.bool))
    need(empty.any(1).all(), "a token that sees nothing at all makes NaN; each text sees itself")
    return "who sees whom, as in the table"


def _same(a, b) -> bool:
    return a.shape == b.shape and torch.equal(a, b)


def _where(wrong: list[tuple], lengths: list) -> str:
    names = [f"region {n}'s text" for n in range(len(lengths) - 1)] + ["the whole prompt"]
    names = [name for name, length in zip(names, lengths) for _ in range(length)]
    row, column = wrong[0] if wrong else (0, 0)
    who, whom = ((names[n] if n < len(names) else "the image") for n in (row, column))
    return f"row {row}, column {column}: may a token of {who} see one of {whom}?"


def _changed(change):
    """The right mask after change(mask, T, lengths, seen)"""

    def wrong(lengths, seen):
        result = EX_26_MASK(lengths, seen).clone()
        change(result, sum(lengths), lengths, seen)
        return result

    return wrong


def _texts_meet(result, T, *_):
    result[:T, :T] = True


def _prompt_sees_texts(result, T, lengths, _):
    result[T - lengths[-1] : T, :T] = True
    result[:T, T - lengths[-1] : T] = True


def _text_free(result, T, *_):
    result[:T, T:] = True


def _image_free(result, T, *_):
    result[T:, :T] = True


def _image_split(result, T, _, seen):
    """Image tokens see only those with which they share a region"""
    shared = (seen.float().T @ seen.float()) > 0
    result[T:, T:] = shared | torch.eye(len(shared), dtype=torch.bool)


def _diagonal(result, T, *_):
    result[:T, :T] = torch.eye(T, dtype=torch.bool)


def _prompt_outside(result, T, lengths, seen):
    """The whole prompt is for what lies in no region"""
    prompt = slice(T - lengths[-1], T)
    result[prompt, T:] = ~seen.any(0)
    result[T:, prompt] = ~seen.any(0).unsqueeze(1)


def _first_wins(lengths, seen):
    alone = seen & (seen.cumsum(0) == 1)
    return EX_26_MASK(lengths, alone)


def _image_first(lengths, seen):
    T = sum(lengths)
    return EX_26_MASK(lengths, seen).roll((-T, -T), (0, 1))


_MASK_MISTAKES = [
    (_changed(_texts_meet), "texts never see other texts, and yours see each other"),
    (
        _changed(_prompt_sees_texts),
        "the whole prompt and the texts of regions do not see each other either",
    ),
    (
        _changed(_text_free),
        "the image sees what it should, but a region's text sees image tokens outside its mask",
    ),
    (
        _changed(_image_free),
        "a region's text sees what it should, but image tokens outside its mask see the text",
    ),
    (
        _changed(_image_split),
        "image tokens see each other, whatever region they are in; only then they fit together",
    ),
    (_changed(_diagonal), "a text sees all of itself, not each token itself alone"),
    (
        _changed(_prompt_outside),
        "the whole prompt is for the whole picture, what lies in regions included",
    ),
    (_first_wins, "an image token may lie in several regions, and then it sees all their texts"),
    (_image_first, "text comes first, then the image"),
    (
        lambda lengths, seen: ~EX_26_MASK(lengths, seen),
        "true stands for what may be seen, and yours is the opposite",
    ),
    (
        lambda lengths, seen: EX_26_MASK(lengths, ~seen),
        "regions see what lies outside of their masks",
    ),
]
