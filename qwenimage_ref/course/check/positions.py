"""Chapter 05: products from differences alone, three groups of angles, positions of all tokens."""

from types import SimpleNamespace

import torch

from ..answers import EX_05_ANGLES, EX_05_POSITIONS, EX_05_RELATIVE
from .common import demand_shape, exercise, near, need, need_all, need_none, need_same, numbers

# ---- products from differences

RELATIVE = (  # wrong answers
    (
        lambda q, k, gap: q @ k.T,
        "the gap makes no difference: turn the key by it, and the query not at all",
    ),
    (
        lambda q, k, gap: EX_05_RELATIVE(q, k, -gap),
        "turned the other way: gap is the key's angle minus the query's, so turn the key by it",
    ),
    (
        lambda q, k, gap: EX_05_RELATIVE(q, k, gap[:1].expand(gap.shape)),
        "the gaps of the first query serve all; each query has its own",
    ),
    (
        lambda q, k, gap: EX_05_RELATIVE(q, k, gap[:, :1].expand(gap.shape)),
        "the gaps of the first key serve all; each key has its own",
    ),
    (
        lambda q, k, gap: EX_05_RELATIVE(_apart(q), _apart(k), gap),
        "number i is paired with the one half a head away; here neighbours are pairs",
    ),
    (
        lambda q, k, gap: ((q[:, None] * k).unflatten(-1, (-1, 2)).sum(-1) * gap.cos()).sum(-1),
        "each pair's product is scaled by a cosine; a turned key has a part across the old one",
    ),
    (
        lambda q, k, gap: EX_05_RELATIVE(q, k, gap) / q.shape[1],
        "the mean over the numbers of a head; a product is their sum",
    ),
)


def _apart(x):
    """Numbers i and i + K/2 side by side."""
    return x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


@exercise
def ex_05_relative(relative) -> str:
    """relative(q, k, gap): products of turned queries and keys, from differences of angles."""
    for queries, keys, width in ((4, 7, 10), (5, 2, 4), (1, 3, 64)):
        q, k = numbers(queries, width), numbers(keys, width, seed=1)
        gap = 2 * numbers(queries, keys, width // 2, seed=2)
        given = relative(q, k, gap)
        demand_shape(given, (queries, keys), "of one number for each query and key, (S, R)")
        need_none(given, RELATIVE if queries > 1 and keys > 1 else (), near, q, k, gap)
        need(
            near(given, EX_05_RELATIVE(q, k, gap)),
            "not the products of turned queries and keys: turn every key by the gap, multiply with "
            "the query as it is, and add up",
        )
    return "attention sees the differences of positions, and nothing else of them"


# ---- angles of three axes


def _angles(pos, axes_dims, axes=(0, 1, 2), through=False):
    """Angles with the axes in another order, or with speeds that run on through the whole head."""
    groups, before, K = [], 0, sum(axes_dims)
    for axis, dim in zip(axes, axes_dims):
        numbers_of = torch.arange(0, dim, 2)
        exponents = (numbers_of + before) / K if through else numbers_of / dim
        groups.append(torch.outer(pos[:, axis].float(), 10000.0**-exponents))
        before += dim
    return torch.cat(groups, dim=1)


ANGLES = (  # wrong answers
    (
        lambda pos, axes_dims: _angles(pos, axes_dims, through=True),
        "the speeds run on from group to group; each group begins again with speed 1, and its own "
        "width stands in the exponent",
    ),
    (
        lambda pos, axes_dims: _angles(pos, axes_dims, axes=(2, 1, 0)),
        "the coordinates are in the wrong order: the first group turns with the frame, the last "
        "one with the column",
    ),
    (
        lambda pos, axes_dims: _angles(pos, axes_dims, axes=(0, 2, 1)),
        "row and column have changed places",
    ),
    (
        lambda pos, axes_dims: _angles(pos, axes_dims, axes=(0, 0, 0)),
        "all groups turn with the frame; each has a coordinate of its own",
    ),
    (
        lambda pos, axes_dims: EX_05_ANGLES(pos.abs(), axes_dims),
        "negative coordinates turn as positive ones; they turn the other way",
    ),
    (
        lambda pos, axes_dims: EX_05_ANGLES(pos - pos.amin(0), axes_dims),
        "the coordinates are moved so that they begin at 0; take them as they are",
    ),
    (
        lambda pos, axes_dims: torch.cat(
            [pos[:, n, None].expand(-1, dim // 2) for n, dim in enumerate(axes_dims)], dim=1
        ).float(),
        "every pair of a group turns equally fast; later ones are slower",
    ),
)


@exercise
def ex_05_angles(angles) -> str:
    """angles(pos, axes_dims): the angle of every pair of a head, in three groups."""
    pos = torch.tensor([[0, -3, 5], [1, 0, 2], [2, 4, -4], [-1, 7, 0]])
    given = angles(pos, (4, 10, 6))
    demand_shape(given, (4, 10), "with an angle for each of the K/2 pairs of every token, (S, K/2)")
    need_none(given, ANGLES, near, pos, (4, 10, 6))
    need(
        near(given, EX_05_ANGLES(pos, (4, 10, 6))),
        "not the right angles: pair i of a group of `dim` numbers turns by the coordinate of that "
        "group, times theta to the power of -2i/dim",
    )
    for axes_dims in ((16, 56, 56), (2, 2, 8), (6, 4, 4)):
        places = torch.arange(15).view(5, 3) - 6
        need_same(
            *(angles, EX_05_ANGLES, near, (places, axes_dims)),
            f"right for axes (4, 10, 6), not for {axes_dims}; take the widths of the groups from "
            "the argument",
        )
    return "three coordinates, three groups of hands"


# ---- positions of all tokens

GRIDS = (  # grids, length of the text
    ([(1, 4, 6)], 3),
    ([(1, 5, 3)], 2),
    ([(1, 4, 6), (1, 9, 2), (1, 3, 5)], 4),
    ([(2, 3, 4), (1, 7, 8)], 1),
    ([(1, 2, 2), (3, 1, 1)], 5),
    ([(1, 83, 104)], 37),
)


def _frames(grids, first=lambda n, before: before):
    """Positions where picture n begins with another frame than it should."""
    img, _ = EX_05_POSITIONS(grids, 1)
    img, before, at = img.clone(), 0, 0
    for n, (frames, rows, cols) in enumerate(grids):
        count = frames * rows * cols
        img[at : at + count, 0] += first(n, before) - before
        before, at = before + frames, at + count
    return img


def _each_side(grids, below):
    """Positions where a side begins at minus below(side)."""
    parts, img = [], EX_05_POSITIONS(grids, 1)[0]
    sizes = [frames * rows * cols for frames, rows, cols in grids]
    for (_, rows, cols), part in zip(grids, img.split(sizes)):
        moved = [0, rows - rows // 2 - below(rows), cols - cols // 2 - below(cols)]
        parts.append(part + torch.tensor(moved))
    return torch.cat(parts)


def _down_the_columns(grids):
    """Tokens column by column instead of row by row."""
    img = EX_05_POSITIONS(grids, 1)[0]
    parts = img.split([frames * rows * cols for frames, rows, cols in grids])
    shaped = [part.view(*grid, 3).transpose(1, 2).flatten(0, 2) for grid, part in zip(grids, parts)]
    return torch.cat(shaped)


IMAGE = (  # wrong positions of the picture
    (lambda grids: _each_side(grids, lambda side: 0), "rows and columns begin at 0; centre them"),
    (
        lambda grids: _each_side(grids, lambda side: side // 2),
        "the place that an odd side has too many is at its positive end",
    ),
    (_down_the_columns, "tokens run down the columns; the column changes fastest"),
    (
        lambda grids: EX_05_POSITIONS(grids, 1)[0][:, [0, 2, 1]],
        "row and column have changed places; a position is (frame, row, column)",
    ),
    (
        lambda grids: EX_05_POSITIONS(grids, 1)[0] * torch.tensor([0, 1, 1]),
        "all pictures have frame 0; each further picture begins with the next free frame",
    ),
    (
        lambda grids: _frames(grids, lambda n, before: n),
        "a picture's first frame is its number; a grid may have several frames, and the next one "
        "begins after all of them",
    ),
)


def _text(start: int, length: int):
    return (start + torch.arange(length)).unsqueeze(1).repeat(1, 3)


def _half(sides) -> int:
    return max(sides) // 2


TEXT = (  # wrong positions of the text
    (
        lambda grids, length: _text(0, length),
        "the text begins at 0, in the middle of the picture",
    ),
    (
        lambda grids, length: _text(_half(grids[0][1:]), length),
        "the text begins off the first picture; the largest side of all counts",
    ),
    (
        lambda grids, length: _text(_half(grids[-1][1:]), length),
        "the text begins off the last picture; the largest side of all counts",
    ),
    (
        lambda grids, length: _text(_half(rows for _, rows, _ in grids), length),
        "the text begins where the rows end; look at the columns, too",
    ),
    (
        lambda grids, length: _text(_half(cols for _, _, cols in grids), length),
        "the text begins where the columns end; look at the rows, too",
    ),
    (
        lambda grids, length: EX_05_POSITIONS(grids, length)[1] * torch.tensor([0, 1, 1]),
        "the text has frame 0; it runs along the diagonal of all three axes",
    ),
    (
        lambda grids, length: (
            EX_05_POSITIONS(grids, length)[1][:1] + _text(0, length) * torch.tensor([0, 0, 1])
        ),
        "the text runs along a row; it runs along the diagonal of all three axes",
    ),
)
SHAPES = (
    (
        lambda seen: isinstance(seen.given, (tuple, list)) and len(seen.given) == 2,
        "return two tensors, first the image's positions, then the text's",
    ),
)


@exercise
def ex_05_positions(my_positions) -> str:
    """my_positions(grids, text_length): (frame, row, column) of every token of image and text."""
    for grids, length in GRIDS:
        given, right = my_positions(grids, length), EX_05_POSITIONS(grids, length)
        need_all(SimpleNamespace(given=given), SHAPES)
        img, txt = given
        demand_shape(img, right[0].shape, f"of the image's positions, (I, 3), for grids {grids}")
        demand_shape(txt, right[1].shape, f"of the text's positions, (T, 3), for grids {grids}")
        if not _same(img, right[0]):
            need_none(img, _named(IMAGE, grids), _same, grids)
        need(_same(img, right[0]), f"grids {grids}: some image tokens have other positions")
        if not _same(txt, right[1]):
            need_none(txt, _named(TEXT, grids), _same, grids, length)
        need(_same(txt, right[1]), f"grids {grids}: some text tokens have other positions")
    return "pictures of any size and number, and a text, none in the place of another"


def _named(mistakes, grids) -> list:
    """The mistakes, each hint after the grids in which it shows."""
    return [(wrong, f"grids {grids}: {hint}") for wrong, hint in mistakes]


def _same(a, b) -> bool:
    return a.shape == b.shape and bool((a == b).all())
