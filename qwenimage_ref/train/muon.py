"""Muon, whose matrix products are as fast as the machine has them.

Source: torch.optim.Muon, after Jordan et al. 2024. torch's own is in bfloat16 everywhere, which
takes 22 times as long as float32 on a CPU that has no instructions for it.
"""

import math

import torch


class Muon(torch.optim.Muon):
    """torch's Muon, in float32 on a CPU; states of one are continued by the other"""

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._update(matrix, group)

    def _update(self, matrix: torch.Tensor, group: dict) -> None:
        state, momentum = self.state[matrix], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix.grad)
        average = state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        direction = matrix.grad.lerp(average, momentum) if group["nesterov"] else average
        update = orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        # 0.2 of it is the root mean square of an update of AdamW's, so that the rates are alike
        rate = group["lr"] * 0.2 * math.sqrt(max(matrix.shape))
        matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)


def orthogonal(
    direction: torch.Tensor,
    coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
) -> torch.Tensor:
    """(out, in) -> (out, in), the same singular vectors with singular values 0.68 to 1.21

    Every step of the Newton-Schulz iteration applies a x + b x^3 + c x^5 to the singular values;
    five leave those smaller that were below 0.002 of the norm.
    """
    a, b, c = coefficients
    tall = direction.shape[0] > direction.shape[1]
    x = direction.T if tall else direction  # the product of the shorter sides is the smaller one
    x = x.bfloat16() if direction.is_cuda else x.float()
    x = x / x.norm().clamp(min=eps)  # no singular value is above the norm
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(direction.dtype)
