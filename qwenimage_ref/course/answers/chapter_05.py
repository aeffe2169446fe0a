"""Chapter 05: MSRoPE."""

import torch


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


SPOILERS = {
    "ex_05_odd": {"max", "half", "rounded"},
    "ex_05_rotate": {"sin", "cos", "stack", "flatten", "complex"},
}
