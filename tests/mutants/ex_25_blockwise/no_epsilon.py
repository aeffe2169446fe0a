"""No epsilon."""

import torch.nn.functional as F

HINT = "makes NaN"


def answer(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    def normalised(x, weight):
        return weight * x / x.square().mean(-1, keepdim=True).sqrt()

    hidden = (normalised(img, x_rms) + normalised(control, y_rms)) @ w_in.T + b_in
    return F.gelu(hidden) @ w_out.T + b_out
