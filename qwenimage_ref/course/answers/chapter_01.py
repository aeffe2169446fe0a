"""Chapter 01: map of the machine."""

from collections import Counter

from torch import nn


def EX_01_BLOCK(D: int, K: int) -> int:
    """Two streams, each with modulation, attention, its two norms and the MLP."""

    def linear(a, b):
        return a * b + b

    stream = linear(D, 6 * D) + 4 * linear(D, D) + 2 * K
    stream += linear(D, 4 * D) + linear(4 * D, D)
    return 2 * stream


def EX_01_FILES(sizes: dict[str, int], limit: int) -> dict[str, int]:
    """One pass over the tensors; a file is closed before the tensor that does not fit."""
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled and filled + size > limit:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of


def EX_01_FLOPS(network: nn.Module, *inputs) -> dict[str, int]:
    """Every number of an output takes two operations for each weight in a row of weights."""
    flops, handles = Counter(), []

    def hook_for(name):
        def hook(layer, inputs, output):
            flops[name] += 2 * output.numel() * layer.weight[0].numel()

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return dict(flops)


SPOILERS = {
    "ex_01_block": {"24", "48", "339831296"},
    "ex_01_files": {"items", "reset", "variable"},
    "ex_01_flops": {"numel", "Counter", "hook_for", "isinstance"},
}
