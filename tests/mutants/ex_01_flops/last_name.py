"""A hook that is defined in the loop uses the loop's last name."""

from torch import nn

HINT = "under one name"


def answer(network, *inputs):
    flops, handles = {}, []

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):

            def hook(layer, inputs, output):
                own = 2 * output.numel() * layer.weight[0].numel()
                flops[name] = flops.get(name, 0) + own  # noqa: B023

            handles.append(layer.register_forward_hook(hook))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
