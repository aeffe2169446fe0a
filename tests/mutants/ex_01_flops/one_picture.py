"""Counts the first picture of the batch."""

from torch import nn

HINT = "one picture of the batch"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            flops[name] = flops.get(name, 0) + 2 * output[0].numel() * layer.weight[0].numel()

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
