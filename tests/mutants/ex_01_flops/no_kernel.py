"""Treats a convolution as a linear layer over channels."""

from torch import nn

HINT = "counts one of them"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            flops[name] = flops.get(name, 0) + 2 * output.numel() * layer.weight.shape[1]

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
