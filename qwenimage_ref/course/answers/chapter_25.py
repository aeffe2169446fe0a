"""Chapter 25: control."""


def EX_25_RESIDUAL(block: int, blocks: int, count: int) -> int:
    """Each residual serves as many blocks in a row; of the last one there may be fewer."""
    return block // -(-blocks // count)


def EX_25_BLOCKWISE(img, control, x_rms, y_rms, w_in, b_in, w_out, b_out):
    """Two normalised streams, added, through two linear layers with the exact GELU between."""
    import torch.nn.functional as F

    def normalised(x, weight):
        return weight * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    hidden = (normalised(img, x_rms) + normalised(control, y_rms)) @ w_in.T + b_in
    return F.gelu(hidden) @ w_out.T + b_out


def EX_25_STEERED(blocks: list, img, txt, nets: list, step: int, steps: int):
    """Behind each block, what all acting networks make of one and the same image stream."""
    acting = [
        (add, scale)
        for add, scale, start, end in nets
        if start <= step / steps and (step + 1) / steps <= end
    ]
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        img = img + sum(scale * add(i, img) for add, scale in acting)
    return img


SPOILERS = {
    "ex_25_residual": {"ceil", "div"},
    "ex_25_blockwise": {"gelu", "square", "sqrt"},
    "ex_25_steered": {"enumerate", "sum"},
}
