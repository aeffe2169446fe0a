"""The norms' weights exchanged."""

import torch.nn.functional as F

HINT = "are exchanged"


def answer(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    def normalised(x, weight):
        return weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    hidden = (normalised(img, y_rms) + normalised(control, x_rms)) @ w_in.T + b_in
    return F.gelu(hidden) @ w_out.T + b_out
