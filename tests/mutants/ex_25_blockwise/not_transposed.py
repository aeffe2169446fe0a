"""Weights as they are stored."""

import torch.nn.functional as F

HINT = "it is transposed"


def answer(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    def normalised(x, weight):
        return weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    hidden = (normalised(img, x_rms) + normalised(control, y_rms)) @ w_in + b_in
    return F.gelu(hidden) @ w_out + b_out
