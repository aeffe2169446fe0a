"""Chapter 01: map of the machine."""


def EX_01_BLOCK(D: int, K: int) -> int:
    """Two streams, each with modulation, attention, its two norms and the MLP."""

    def linear(a, b):
        return a * b + b

    stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K
    stream += linear(D, 4 * D) + linear(4 * D, D)
    return 2 * stream


SPOILERS = {"ex_01_block": {"24", "48", "339831296"}}
