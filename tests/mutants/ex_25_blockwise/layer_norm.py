"""A norm that takes the mean away."""

import torch.nn.functional as F

HINT = "takes no mean away"


def answer(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    def normalised(x, weight):
        return weight * F.layer_norm(x, x.shape[-1:], eps=1e-6)

    hidden = (normalised(img, x_rms) + normalised(control, y_rms)) @ w_in.T + b_in
    return F.gelu(hidden) @ w_out.T + b_out
