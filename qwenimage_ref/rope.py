"""MSRoPE: where every token sits (frame, row, column), and the rotation that tells attention so."""

import torch

THETA = 10000.0


def positions(grids, text_length: int, layered: bool = False):
    """Grids [(frames, rows, cols), ...] -> (I, 3), (T, 3): integer (frame, row, col) of every token

    Every picture is centred on its own size; picture n has frame n. Text marches on along the
    diagonal, starting off the corner of the largest picture. In the layered model the frames of
    one grid are its layers and the last grid, the condition image, has frame -1.
    Source: spec of MSRoPE, Qwen-Image technical report, section 2.4.
    """
    img, frame = [], 0
    for n, (frames, rows, cols) in enumerate(grids):
        first = -1 if layered and n == len(grids) - 1 else frame
        axes = [
            torch.arange(first, first + frames),
            # careful: an odd size puts its extra row on the negative side, 5 -> -3 .. 1
            torch.arange(rows) - (rows - rows // 2),
            torch.arange(cols) - (cols - cols // 2),
        ]
        img.append(torch.cartesian_prod(*axes))
        frame += frames
    start = max(max(rows // 2, cols // 2) for _, rows, cols in grids)
    if layered:
        start = max(start, frame - 1)
    txt = torch.arange(start, start + text_length)
    return torch.cat(img), txt.unsqueeze(1).repeat(1, 3)


def rotations(pos, axes_dims):
    """(S, 3) -> (S, K/2) complex64: a unit number for every pair of head dims

    `axes_dims` says how many head dims turn with frame, row and column: (16, 56, 56).
    """
    angles = []
    for axis, dim in enumerate(axes_dims):
        exponents = torch.arange(0, dim, 2, device=pos.device).float() / dim
        frequencies = 1.0 / torch.pow(THETA, exponents)
        angles.append(torch.outer(pos[:, axis].float(), frequencies))
    angle = torch.cat(angles, dim=1)
    return torch.polar(torch.ones_like(angle), angle)


def rotate(x, rotation):
    """(B, S, H, K), (S, K/2) -> (B, S, H, K): pairs (2k, 2k+1) turned by their token's angle"""
    # float32 whatever the input: a bf16 angle of 40 radians would be off by a tenth
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * rotation.unsqueeze(1)).flatten(-2).to(x.dtype)
