"""Chapter 05: MSRoPE."""

from types import SimpleNamespace

import torch

from ..answers import EX_05_ODD, EX_05_ROTATE
from .common import exercise, need, need_all, need_none, need_same
from .positions import ex_05_angles, ex_05_positions, ex_05_relative  # noqa: F401

GRIDS = ((4, 10), (6, 2), (5, 8), (7, 4), (7, 5), (1, 1), (83, 104))  # rows, columns
SIDE = (  # places of the rows or of the columns
    (
        lambda seen: seen.places[0] != 0 or len(seen.places) == 1,
        lambda seen: f"{seen.name} begin at 0; the picture's middle is to lie there",
    ),
    (
        lambda seen: sorted(seen.places) == seen.places,
        lambda seen: f"{seen.name} run backwards; they grow from the top and from the left",
    ),
    (
        lambda seen: len(seen.places) % 2 == 0 or seen.places[0] + seen.places[-1] != 0,
        lambda seen: (
            f"{seen.name} lie evenly around 0; an odd side has one place too many, and it "
            "goes to one end"
        ),
    ),
    (
        lambda seen: (
            len(seen.places) % 2 == 0 or seen.places != [-place for place in reversed(seen.right)]
        ),
        lambda seen: f"{seen.name} have the place that is too many at their positive end",
    ),
    (
        lambda seen: len(seen.places) % 2 or seen.places != [place + 1 for place in seen.right],
        lambda seen: f"{seen.name} are even in number; as many lie below 0 as from 0 on",
    ),
    (
        lambda seen: seen.places == seen.right,
        lambda seen: (
            f"{seen.name} run from {seen.places[0]:g} to {seen.places[-1]:g}, not around 0"
        ),
    ),
)


@exercise
def ex_05_odd(places) -> str:
    """places(rows, cols) -> places of the rows, places of the columns, place of the first word."""
    for rows, cols in GRIDS:
        grid = f"grid {rows} x {cols}"
        given = places(rows, cols)
        need(
            isinstance(given, tuple | list) and len(given) == 3,
            "give three things: places of the rows, of the columns, and where the text starts",
        )
        *right_sides, right_start = EX_05_ODD(rows, cols)
        sides = [[float(place) for place in side] for side in given[:2]]
        need(
            all(place == int(place) for side in sides for place in side),
            f"{grid}: some places are not integers; rows and columns are counted",
        )
        counts = list(map(len, sides))
        need(
            counts == [rows, cols],
            f"{grid}: yours has {counts[0]} rows and {counts[1]} columns",
        )
        for what, side, right in zip(("rows", "columns"), sides, right_sides):
            name = f"{grid}: your {what}"
            need_all(SimpleNamespace(name=name, places=side, right=right), SIDE)
        _text(grid, int(given[2]), rows, cols, right_start)
    return "every token has its place, and no word shares one with the picture"


def _text(grid: str, start: int, rows: int, cols: int, wanted: int) -> None:
    need(
        start != rows // 2 or start == wanted,
        f"{grid}: your text starts at {start}, where the rows end; look at the columns, too",
    )
    need(
        start != cols // 2 or start == wanted,
        f"{grid}: your text starts at {start}, where the columns end; look at the rows, too",
    )
    need(
        start != wanted - 1,
        f"{grid}: your text starts at {start}, and a row or column of the picture has that place",
    )
    need(
        start != wanted + 1,
        f"{grid}: your text starts at {start} and leaves a place free between picture and text",
    )
    need(
        start == wanted,
        f"{grid}: your text starts at {start}; it starts where the longer side of the picture ends",
    )


TURNS = (
    (
        lambda x, angle: EX_05_ROTATE(x, -angle),
        "that turns the other way: a quarter turn brings (1, 0) to (0, 1)",
    ),
    (
        lambda x, angle: EX_05_ROTATE(x, angle[:1]),
        "every row is turned by the angles of the first; each token has its own place",
    ),
    (
        lambda x, angle: EX_05_ROTATE(x, angle[:, :1]),
        "every pair of a row is turned by the angle of the first; each pair has its own speed",
    ),
)


@exercise
def ex_05_rotate(turn) -> str:
    """turn(x, angle): (S, K) numbers, the pairs of each row turned by its K/2 angles."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(3, 10, generator=generator)
    angle = 3 * torch.rand(3, 5, generator=generator)
    _unturned(turn(x, torch.zeros(3, 5)), x)
    first = torch.zeros(3, 5)
    first[:, 0] = angle[:, 0]
    moved = (~torch.isclose(turn(x, first), x, atol=1e-5)).any(0).nonzero().flatten().tolist()
    need(
        moved == [0, 1],
        f"with an angle for the first pair alone, the numbers {moved} of a row changed; the first "
        "pair is 0 and 1, neighbours",
    )
    given = turn(x, angle)
    lengths = [tensor.unflatten(-1, (5, 2)).norm(dim=-1) for tensor in (given, x)]
    need(
        _near(*lengths),
        "a pair has become longer or shorter; both new numbers are made from both old ones",
    )
    need_none(given, TURNS, _near, x, angle)
    need(_near(given, EX_05_ROTATE(x, angle)), "the turned numbers are not the right ones")
    for tokens, width in ((7, 128), (1, 2)):
        x = torch.randn(tokens, width, generator=generator)
        angle = 3 * torch.rand(tokens, width // 2, generator=generator)
        need_same(
            *(turn, EX_05_ROTATE, _near, (x, angle)),
            f"right for 3 rows of 10 numbers, not for {tokens} of {width}; take the sizes from x",
        )
    return "neighbours turn together, each pair by its own angle"


def _unturned(still, x) -> None:
    """At angle 0 everything stays."""
    need(
        isinstance(still, torch.Tensor) and still.shape == x.shape,
        "give a tensor of the shape of x, (S, K)",
    )
    need(
        _near(still, x) or not _near(still.sort().values, x.sort().values),
        "at angle 0 the numbers of a row are all there, but in another order; a pair belongs "
        "where it came from",
    )
    need(
        _near(still, x),
        "at angle 0 a row is already changed; a hand that is not turned stays",
    )


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5)
