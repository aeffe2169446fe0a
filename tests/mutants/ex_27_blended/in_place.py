"""The tiles themselves are changed."""

import torch


def answer(tiles, step, overlap):
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            for dim, before in (
                (1, tiles[i - 1][j] if i else None),
                (2, row[j - 1] if j else None),
            ):
                if before is None:
                    continue
                n = min(overlap, tile.shape[dim])
                share = (torch.arange(n) / n).view([-1 if axis == dim else 1 for axis in range(3)])
                start, end = tile.narrow(dim, 0, n), before.narrow(dim, before.shape[dim] - n, n)
                start.copy_((1 - share) * end + share * start)
    strips = [torch.cat([tile[:, :step, :step] for tile in row], dim=2) for row in tiles]
    return torch.cat(strips, dim=1)


HINT = "changes the tiles themselves"
