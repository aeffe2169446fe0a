"""Tiles that fade into each other: what chapter 27 asks for, and the slips that it names."""

import torch

from ..answers import EX_27_BLENDED
from .common import demand_shape, near, need, need_none

# sides of the tiles' rows and columns, step, overlap; the last ones may be thinner than a fade
_CASES = (
    ((8, 8), (8, 8, 5), 6, 2),
    ((9, 7, 2), (9, 4), 6, 3),
    ((11, 1), (11, 11, 3), 7, 4),
    ((7,), (7, 2), 5, 2),
)


def _tiles(heights, widths, seed: int) -> list[list[torch.Tensor]]:
    source = torch.Generator().manual_seed(seed)
    return [[torch.randn(3, h, w, generator=source) for w in widths] for h in heights]


def _faded(before, tile, overlap: int, dim: int, share_of):
    n = min(overlap, tile.shape[dim])
    share = share_of(n).view([-1 if axis == dim else 1 for axis in range(3)])
    start, end = tile.narrow(dim, 0, n), before.narrow(dim, before.shape[dim] - n, n)
    rest = tile.narrow(dim, n, tile.shape[dim] - n)
    return torch.cat([(1 - share) * end + share * start, rest], dim)


def _usual(n: int) -> torch.Tensor:
    return torch.arange(n) / n


def _slip(share_of=_usual, order=(1, 2), finished=True):
    """The exercise with other shares, another order of the fades, or from tiles as they came"""

    def blended(tiles, step, overlap):
        done = [[tile for tile in row] for row in tiles]
        source = done if finished else tiles
        for i, row in enumerate(tiles):
            for j, tile in enumerate(row):
                for dim in order:
                    before = (source[i - 1][j] if i else None) if dim == 1 else None
                    if dim == 2 and j:
                        before = source[i][j - 1]
                    if before is not None:
                        tile = _faded(before, tile, overlap, dim, share_of)
                done[i][j] = tile
        return _joined(done, step)

    return blended


def _joined(tiles, step) -> torch.Tensor:
    return torch.cat(
        [torch.cat([tile[:, :step, :step] for tile in row], dim=2) for row in tiles], dim=1
    )


_SLIPS = [
    (_slip(order=()), "nothing fades: where two tiles meet there is a seam"),
    (_slip(lambda n: 1 - _usual(n)), "the shares are turned round: at its start a tile has none"),
    (
        _slip(lambda n: torch.full((n,), 0.5)),
        "the overlap is the plain mean, with a seam at both ends; let one fade into the other",
    ),
    (
        _slip(lambda n: (torch.arange(n) + 1) / n),
        "the shares begin with 0, so a tile's first row or column is the neighbour's",
    ),
    (
        _slip(lambda n: torch.arange(n) / max(1, n - 1)),
        "of n rows, row i has the share i / n, not i / (n - 1)",
    ),
    (_slip(order=(1,)), "tiles fade from above, but not from the left"),
    (_slip(order=(2,)), "tiles fade from the left, but not from above"),
    (
        _slip(order=(2, 1)),
        "the fades come in the other order: from above first, then from the left",
    ),
    (
        _slip(finished=False),
        "a tile fades in from its neighbour as that came; take it as it is after its own fades",
    ),
]


def check_blended(blended) -> None:
    """Raises NotYet, with the slip that the answer is"""
    for seed, (heights, widths, step, overlap) in enumerate(_CASES):
        tiles = _tiles(heights, widths, seed)
        kept = [[tile.clone() for tile in row] for row in tiles]
        answer = blended(tiles, step, overlap)
        need(
            all(torch.equal(*pair) for rows in zip(tiles, kept) for pair in zip(*rows)),
            "your function changes the tiles themselves, which may still be needed",
        )
        right = EX_27_BLENDED(tiles, step, overlap)
        demand_shape(answer, tuple(right.shape), "with what each tile has before the next begins")
        if not near(answer, right):
            need_none(answer, _SLIPS, near, tiles, step, overlap)
            need(
                near(answer[:, :step, :step], right[:, :step, :step]),
                "the first tile has no neighbours and stays as it is",
            )
            need(
                False, "not right yet; paint tiles of a single number each, and look at the shares"
            )
