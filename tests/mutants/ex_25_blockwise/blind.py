"""Without the control picture."""

import torch.nn.functional as F

HINT = "has no effect"


def answer(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    def normalised(x, weight):
        return weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    hidden = (normalised(img, x_rms)) @ w_in.T + b_in
    return F.gelu(hidden) @ w_out.T + b_out
