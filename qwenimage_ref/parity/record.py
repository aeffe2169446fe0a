"""One of our networks run alone, and what every module of it returned.

Neither diffusers nor transformers is imported here, so a process that runs only ours starts fast.
"""

from collections.abc import Callable

import torch
from torch import nn

from ..vae import VAE


def official_name(name: str) -> str:
    """The name on disk of a module or tensor that transformers >= 5 renames in memory."""
    for renamed, official in (("model.language_model.", "model."), ("model.visual.", "visual.")):
        if name.startswith(renamed):
            return official + name.removeprefix(renamed)
    return name


def run_ours(ours: nn.Module, inputs: dict):
    """Our network called with its own arguments; a VAE encodes an `img` and decodes a `z`."""
    if isinstance(ours, VAE):
        return ours.encode(**inputs) if "img" in inputs else ours.decode(**inputs)
    return ours(**inputs)


def tensors(output) -> list[torch.Tensor]:
    """The tensors of whatever a module returns, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, dict):
        output = output.values()
    if not isinstance(output, (tuple, list)) and not hasattr(output, "__iter__"):
        return []
    return [tensor for part in output for tensor in tensors(part)]


def record(network: nn.Module, call: Callable, inputs: dict) -> dict[str, list[torch.Tensor]]:
    """Official module name -> the tensors it returned when it was first called."""
    outputs: dict[str, list[torch.Tensor]] = {}

    def hook_for(name):
        def hook(module, args, output):
            if name not in outputs:
                outputs[name] = [tensor.detach().clone() for tensor in tensors(output)]

        return hook

    hooks = [
        module.register_forward_hook(hook_for(official_name(name)))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            output = call(network, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs | {"output": [tensor.detach() for tensor in tensors(output)]}


def difference(ours, theirs, mask=None) -> tuple[float, float]:
    """Equal shapes -> largest absolute difference, and the same over the reference's largest value

    Axes of length one are ignored, and so are positions that `mask` (B, T) marks as padding.
    """
    if mask is not None and ours.shape[:2] == theirs.shape[:2] == mask.shape:
        ours, theirs = ours[mask.bool()], theirs[mask.bool()]
    if ours.is_complex():
        ours, theirs = torch.view_as_real(ours), torch.view_as_real(theirs)
    # the CPU, because Apple's GPUs have no doubles
    ours, theirs = ours.squeeze().cpu().double(), theirs.squeeze().cpu().double()
    gap = (ours - theirs).abs().max().item()
    largest = theirs.abs().max().item()
    if gap == 0:
        return 0.0, 0.0
    return gap, gap / largest if largest else float("inf")
