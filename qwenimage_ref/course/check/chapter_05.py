"""Chapter 05: MSRoPE."""

import torch

from ..answers import EX_05_ODD, EX_05_ROTATE
from .common import exercise, need


@exercise
def ex_05_odd(places) -> None:
    """places(rows, cols) -> places of the rows, places of the columns, place of the first word."""
    for rows, cols in ((4, 10), (6, 2), (5, 8), (7, 4), (7, 5), (1, 1), (83, 104)):
        grid = f"grid {rows} x {cols}"
        given = places(rows, cols)
        need(
            isinstance(given, tuple | list) and len(given) == 3,
            "give three things: places of the rows, of the columns, and where the text starts",
        )
        wanted_rows, wanted_cols, wanted_start = EX_05_ODD(rows, cols)
        down, right = ([float(place) for place in side] for side in given[:2])
        need(
            all(place == int(place) for place in down + right),
            f"{grid}: some places lie between whole numbers; rows and columns are counted",
        )
        need(
            (len(down), len(right)) == (rows, cols),
            f"{grid}: yours has {len(down)} rows and {len(right)} columns",
        )
        for name, side, wanted in (("rows", down, wanted_rows), ("columns", right, wanted_cols)):
            need(
                side[0] != 0 or len(side) == 1,
                f"{grid}: your {name} begin at 0; the picture's middle is to lie there",
            )
            need(
                sorted(side) == side,
                f"{grid}: your {name} run backwards; they grow from the top and from the left",
            )
            need(
                len(side) % 2 == 0 or side[0] + side[-1] != 0,
                f"{grid}: your {name} lie evenly around 0; an odd side has one place too many, and "
                "it goes to one end",
            )
            need(
                side != [-place for place in reversed(wanted)] or len(side) % 2 == 0,
                f"{grid}: your {name} have the place that is too many at their positive end",
            )
            need(
                side != [place + 1 for place in wanted] or len(side) % 2,
                f"{grid}: your {name} are even in number; as many lie below 0 as from 0 on",
            )
            need(
                side == wanted,
                f"{grid}: your {name} run from {side[0]:g} to {side[-1]:g}, not around 0",
            )
        _text(grid, int(given[2]), rows, cols, wanted_start)
    print("right: every token knows its place, and the text keeps off the picture")


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


@exercise
def ex_05_rotate(turn) -> None:
    """turn(x, angle): (S, K) numbers, the pairs of each row turned by its K/2 angles."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(3, 10, generator=generator)
    angle = 3 * torch.rand(3, 5, generator=generator)
    before = x.clone()
    turn(x, angle)
    need(torch.equal(x, before), "your function changes x itself; give a new tensor")
    still = turn(x, torch.zeros(3, 5))
    need(
        isinstance(still, torch.Tensor) and still.shape == x.shape,
        "give a tensor of the shape of x, (S, K)",
    )
    if not _near(still, x):
        need(
            not _near(still.sort().values, x.sort().values),
            "at angle 0 the numbers of a row are all there, but in another order; a pair belongs "
            "where it came from",
        )
        need(False, "at angle 0 a row is already changed; a hand that is not turned stays")
    first = torch.zeros(3, 5)
    first[:, 0] = angle[:, 0]
    moved = (~torch.isclose(turn(x, first), x, atol=1e-5)).any(0).nonzero().flatten().tolist()
    need(
        moved == [0, 1],
        f"with an angle for the first pair alone, the numbers {moved} of a row changed; the first "
        "pair is 0 and 1, neighbours",
    )
    given, wanted = turn(x, angle), EX_05_ROTATE(x, angle)
    lengths = [tensor.unflatten(-1, (5, 2)).norm(dim=-1) for tensor in (given, x)]
    need(
        _near(*lengths),
        "a pair has become longer or shorter; both new numbers are made from both old ones",
    )
    need(
        not _near(given, EX_05_ROTATE(x, -angle)),
        "that turns the other way: a quarter turn brings (1, 0) to (0, 1)",
    )
    need(
        not _near(given, EX_05_ROTATE(x, angle[:1])),
        "every row is turned by the angles of the first; each token has its own place",
    )
    need(
        not _near(given, EX_05_ROTATE(x, angle[:, :1])),
        "every pair of a row is turned by the angle of the first; each pair has its own speed",
    )
    need(_near(given, wanted), "the turned numbers are not the right ones")
    print("right: neighbours turn together, each pair by its own angle")


def _near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, atol=1e-5)
