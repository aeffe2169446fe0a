"""Chapter 28: outliers."""

import torch


def EX_28_ROTATE(weight: torch.Tensor, size: int) -> torch.Tensor:
    """Kronecker powers of a matrix of 4; every group of inputs is a row of its own for a moment."""
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
    matrix = four
    for _ in range(3):  # 16, 64, 256
        matrix = torch.kron(matrix, four) if len(matrix) < size else matrix
    groups = weight.reshape(len(weight), -1, size)
    return (groups @ matrix / size**0.5).reshape(weight.shape)


def EX_28_NVFP4(packed: torch.Tensor, scales: torch.Tensor, whole: float) -> torch.Tensor:
    """Upper half first; sign, two bits of exponent, one of fraction; two scales."""
    codes = torch.stack([packed >> 4, packed & 15], dim=-1).flatten()
    sign = torch.where(codes >> 3 == 1, -1.0, 1.0)
    exponent, fraction = (codes >> 1 & 3).float(), (codes & 1) / 2
    size = torch.where(exponent == 0, fraction, 2 ** (exponent - 1) * (1 + fraction))
    return sign * size * scales.repeat_interleave(16) * whole


def EX_28_HUFFMAN(counts: list) -> list:
    """The two rarest groups are joined until one is left; each joining is a bit for both."""
    groups = [(count, [symbol]) for symbol, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    if len(groups) == 1:
        lengths[groups[0][1][0]] = 1
    while len(groups) > 1:
        groups.sort(key=lambda group: group[0])
        (rarest, ours), (second, theirs), *groups = groups
        for symbol in ours + theirs:
            lengths[symbol] += 1
        groups.append((rarest + second, ours + theirs))
    return lengths


SPOILERS = {
    "ex_28_rotate": {"kron", "0.5", "reshape"},
    "ex_28_nvfp4": {"repeat_interleave", "stack"},
    "ex_28_huffman": {"sort", "append"},
}
