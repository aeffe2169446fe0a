"""Counts all input channels of a grouped convolution."""

from torch import nn

HINT = "of its own group only"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            inner = layer.weight[0].numel() * getattr(layer, "groups", 1)
            flops[name] = flops.get(name, 0) + 2 * output.numel() * inner

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
