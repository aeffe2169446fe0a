"""The plain mean."""

import torch


def answer(tiles, step, overlap):
    def faded(before, tile, dim):
        n = min(overlap, tile.shape[dim])
        share = torch.full((n,), 0.5)
        share = share.view([-1 if axis == dim else 1 for axis in range(3)])
        start, rest = tile.narrow(dim, 0, n), tile.narrow(dim, n, tile.shape[dim] - n)
        end = before.narrow(dim, before.shape[dim] - n, n)
        return torch.cat([(1 - share) * end + share * start, rest], dim)

    done = [[tile for tile in row] for row in tiles]
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            if i:
                tile = faded(done[i - 1][j], tile, 1)
            if j:
                tile = faded(done[i][j - 1], tile, 2)
            done[i][j] = tile
    strips = [torch.cat([tile[:, :step, :step] for tile in row], dim=2) for row in done]
    return torch.cat(strips, dim=1)


HINT = "the plain mean"
