"""Counts the places of the input of a convolution."""

from torch import nn

HINT = "with a stride"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            x = inputs[0]
            places = x[:, 0] if isinstance(layer, nn.Conv2d) else x[..., 0]
            flops[name] = flops.get(name, 0) + 2 * places.numel() * layer.weight.numel()

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
