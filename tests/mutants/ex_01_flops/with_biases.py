"""Counts the additions of the biases."""

from torch import nn

HINT = "biases are counted too"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            own = 2 * output.numel() * layer.weight[0].numel()
            own += 0 if layer.bias is None else output.numel()
            flops[name] = flops.get(name, 0) + own

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
