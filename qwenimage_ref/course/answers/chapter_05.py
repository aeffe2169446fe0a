"""Chapter 05: MSRoPE."""

import torch

from ...rope import THETA


def EX_05_ODD(rows: int, cols: int) -> tuple[list[int], list[int], int]:
    """Both sides around 0, what is too much on the negative side; the text off the longer side."""

    def around_zero(side):
        return [place - (side - side // 2) for place in range(side)]

    return around_zero(rows), around_zero(cols), max(rows // 2, cols // 2)


def EX_05_ROTATE(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(S, K), (S, K/2) -> (S, K): every two neighbours turned together."""
    a, b = x[:, 0::2], x[:, 1::2]
    turned_a = a * angle.cos() - b * angle.sin()
    turned_b = a * angle.sin() + b * angle.cos()
    return torch.stack([turned_a, turned_b], dim=-1).flatten(-2)


def EX_05_RELATIVE(q, k, gap):
    """(S, K), (R, K), (S, R, K/2) -> (S, R): products with keys turned by the gap."""
    a, b = q[:, None, 0::2], q[:, None, 1::2]
    c, d = k[None, :, 0::2], k[None, :, 1::2]
    turned_c = c * gap.cos() - d * gap.sin()
    turned_d = c * gap.sin() + d * gap.cos()
    return (a * turned_c + b * turned_d).sum(-1)


def EX_05_ANGLES(pos, axes_dims):
    """(S, 3), (16, 56, 56) -> (S, K/2): each group of pairs turns with a coordinate of its own."""
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 1 / THETA ** (torch.arange(0, dim, 2) / dim)
        groups.append(torch.outer(pos[:, axis], speeds))
    return torch.cat(groups, dim=1)


def EX_05_POSITIONS(grids, text_length):
    """[(frames, rows, cols), ...], T -> (I, 3), (T, 3): (frame, row, column) of every token."""
    img, frame = [], 0
    for frames, rows, cols in grids:
        across = torch.arange(cols) - (cols - cols // 2)
        down = torch.arange(rows) - (rows - rows // 2)
        img.append(torch.cartesian_prod(torch.arange(frames) + frame, down, across))
        frame = frame + frames
    start = max(max(rows // 2, cols // 2) for _, rows, cols in grids)
    txt = start + torch.arange(text_length)
    return torch.cat(img), torch.stack([txt, txt, txt], dim=1)


SPOILERS = {
    "ex_05_relative": {"sin", "cos", "stack", "complex"},
    "ex_05_angles": {"outer", "cat", "enumerate"},
    "ex_05_positions": {"cartesian_prod", "meshgrid", "stack", "max"},
    "ex_05_odd": {"max", "half", "rounded"},
    "ex_05_rotate": {"sin", "cos", "stack", "flatten", "complex"},
}
