"""Chapter 21: precision."""


def EX_21_FP8(byte: int) -> float:
    """Sign, 4 bits of exponent, 3 of fraction; subnormals, and one pattern that is no number."""
    sign = -1.0 if byte >> 7 else 1.0
    exponent, fraction = byte >> 3 & 15, byte & 7
    if (exponent, fraction) == (15, 7):
        return float("nan")
    if exponent == 0:
        return sign * 2.0**-6 * fraction / 8
    return sign * 2.0 ** (exponent - 7) * (1 + fraction / 8)


def EX_21_Q4(block: bytes) -> list[float]:
    """A float16 scale, then sixteen bytes: lower halves first, upper halves after them."""
    import struct

    (d,) = struct.unpack("<e", block[:2])
    lower = [byte & 15 for byte in block[2:]]
    upper = [byte >> 4 for byte in block[2:]]
    return [d * (q - 8) for q in lower + upper]


def EX_21_MULTIPLY(x, rows):
    """(N, in), (out, 18 in / 32) bytes of Q4_0 -> (N, out): sums of integers, then scales"""
    import torch

    blocks = rows.unflatten(1, (-1, 18))  # (out, in / 32, 18)
    d = blocks[..., :2].view(torch.float16)[..., 0].float()
    q = torch.cat([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], dim=-1).int() - 8
    inputs = x.unflatten(1, (-1, 32))  # (N, in / 32, 32)
    scale = inputs.abs().amax(-1) / 127
    steps = inputs / torch.where(scale > 0, scale, 1.0).unsqueeze(-1)
    sums = torch.einsum("nbi,obi->nob", steps.round().int(), q)
    return torch.einsum("nob,nb,ob->no", sums.float(), scale.half().float(), d)


SPOILERS = {
    "ex_21_fp8": {"7", "6", "15", "nan", "bias"},
    "ex_21_q4": {"8", "15", "4", "unpack", "e"},
    "ex_21_multiply": {"einsum", "amax", "where", "int"},
}
