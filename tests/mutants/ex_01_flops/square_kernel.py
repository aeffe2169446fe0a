"""Takes every kernel for a square."""

from torch import nn

HINT = "not a square"


def answer(network, *inputs):
    flops, handles = {}, []

    def hook_for(name):
        def hook(layer, inputs, output):
            inner = layer.weight.shape[1]
            if isinstance(layer, nn.Conv2d):
                inner *= layer.kernel_size[0] ** 2
            flops[name] = flops.get(name, 0) + 2 * output.numel() * inner

        return hook

    for name, layer in network.named_modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            handles.append(layer.register_forward_hook(hook_for(name)))
    network(*inputs)
    for handle in handles:
        handle.remove()
    return flops
