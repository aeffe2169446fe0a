"""In which numbers a network computes while it is trained."""

import torch


def mixed(device: str = "cpu", enabled: bool = True) -> torch.autocast:
    """Context of a forward pass: bfloat16 where the machine is fast with it, float32 elsewhere

    Among CPUs these are the ones with Intel's AMX. Without it float32 is faster, on one with AVX2
    alone by factors of seven and nine for the pocket networks (`evaluate/training_precision.py`).
    """
    fast = device != "cpu" or torch.cpu.get_capabilities().get("amx_bf16", False)
    return torch.autocast(device, torch.bfloat16, enabled=enabled and fast)
