"""Chapter 27: layers."""


def EX_27_OVER(top, bottom):
    """Light adds up, each layer's share first; the colour is light divided by alpha."""
    import torch

    a, b = top[3:], bottom[3:]
    alpha = a + (1 - a) * b
    light = a * top[:3] + (1 - a) * b * bottom[:3]
    return torch.cat([light / alpha.clamp(min=1e-8), alpha])


def EX_27_PLACES(layers: int, rows: int, cols: int, text_length: int):
    """Frames 0 to n, then frame -1; the text off the longer half side, and behind all layers."""
    import torch

    frames = torch.tensor([*range(layers + 1), -1])
    down = torch.arange(rows) - (rows - rows // 2)
    across = torch.arange(cols) - (cols - cols // 2)
    txt = torch.arange(text_length) + max(rows // 2, cols // 2, layers + 1)
    return torch.cartesian_prod(frames, down, across), torch.stack([txt] * 3, dim=1)


def EX_27_LEVELS(steps: int, width: int, height: int, layers: int):
    """The root of one frame's tokens over 256 is the shift; nothing is stretched."""
    import torch

    shift = (width // 16 * (height // 16) / 256) ** 0.5
    s = torch.linspace(1, 1 / steps, steps)
    return torch.cat([shift / (shift + 1 / s - 1), torch.zeros(1)])


def EX_27_WRITE(scores_of, ids: list[int], most: int, ends: set[int], penalty: float) -> list[int]:
    """The likeliest token each time; whatever occurred before is less likely."""
    import torch

    ids, written = list(ids), []
    while len(written) < most and not (written and written[-1] in ends):
        scores = scores_of(ids).clone()
        seen = torch.tensor(sorted({*ids}))
        old = scores[seen]
        scores[seen] = torch.where(old < 0, old * penalty, old / penalty)
        written.append(scores.argmax().item())
        ids.append(written[-1])
    return written


def EX_27_BLENDED(tiles: list, step: int, overlap: int):
    """Each tile fades in from the one above, then from the one to its left, both finished."""
    import torch

    def faded(before, tile, dim):
        n = min(overlap, tile.shape[dim])
        share = (torch.arange(n) / n).view([-1 if axis == dim else 1 for axis in range(3)])
        start, rest = tile.narrow(dim, 0, n), tile.narrow(dim, n, tile.shape[dim] - n)
        mixed = (1 - share) * before.narrow(dim, before.shape[dim] - n, n) + share * start
        return torch.cat([mixed, rest], dim)

    strips, above = [], None
    for row in tiles:
        finished = []
        for column, tile in enumerate(row):
            if above is not None:
                tile = faded(above[column], tile, 1)
            if column:
                tile = faded(finished[-1], tile, 2)
            finished.append(tile)
        strips.append(torch.cat([tile[:, :step, :step] for tile in finished], dim=2))
        above = finished
    return torch.cat(strips, dim=1)


SPOILERS = {
    "ex_27_over": {"clamp", "light"},
    "ex_27_places": {"cartesian_prod", "arange"},
    "ex_27_levels": {"linspace"},
    "ex_27_write": {"argmax", "where"},
    "ex_27_blended": {"narrow", "arange"},
}
