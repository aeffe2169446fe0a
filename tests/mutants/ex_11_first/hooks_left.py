"""Leaves the hooks."""

import torch


@torch.no_grad()
def outputs(network, inputs):
    kept, calls, hooks = {}, {}, []

    def hook(name):
        def keep(module, given, output):
            calls[name] = calls.get(name, 0) + 1
            every = output if isinstance(output, tuple) else (output,)
            kept[name, calls[name]] = [each.clone() for each in every]

        return keep

    for name, module in network.named_modules():
        hooks.append(module.register_forward_hook(hook(name)))
    network(*inputs)
    return kept


def answer(network, inputs, bug, tolerance):
    right = outputs(network, inputs)
    with bug:
        wrong = outputs(network, inputs)
    for key, every in right.items():
        for a, b in zip(every, wrong.get(key, ())):
            if not (a - b).abs().max() <= tolerance * a.abs().max():
                return key[0]
    return None


HINT = "take off again"
