"""Overwrites what an earlier pass of the layer took."""

from torch import nn

HINT = "keeps the last pass alone"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            flops[name] = 2 * output.numel() * layer.weight[0].numel()

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
