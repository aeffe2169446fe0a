"""Files of other programs, damaged at random: refused in one line, or the same weights."""

import gguf
import pytest
import torch
from helpers.mutations import count_refused, mutated_file, scratched
from helpers.nets import SMALL
from helpers.small_net import assert_equal, on_meta, tensors_of
from safetensors.torch import save_file

from qwenimage_ref.formats.fp8 import quantize_fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

MUTANTS = 60  # of each kind of file


def weights() -> dict[str, torch.Tensor]:
    return tensors_of(random_weights(on_meta(MMDiT, SMALL), 0))


def stable_diffusion_cpp(file):
    """GGUF without general.architecture, under a prefix"""
    writer = gguf.GGUFWriter(file, "x")
    writer.kv_data[0].pop("general.architecture")
    for name, tensor in weights().items():
        writer.add_tensor(f"model.diffusion_model.{name}", tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def checkpoint_save(file):
    """Several parts in one file"""
    tensors = {f"model.diffusion_model.{name}": t for name, t in weights().items()}
    others = ("vae.decoder.upsamples.0.residual.0.gamma", "text_encoders.qwen25_7b.logit_scale")
    save_file(tensors | {name: torch.ones(3) for name in others}, file)


def wrapped(file):
    """Compiled and wrapped for several devices"""
    save_file({f"module._orig_mod.{name}": t for name, t in weights().items()}, file)


def mixed_precision(file):
    """fp8 with a scale and a piece of JSON for each packed layer"""
    tensors, said = weights(), torch.tensor(list(b'{"format": "float8_e4m3fn"}'), dtype=torch.uint8)
    for name in [name for name in tensors if name.endswith(".attn.to_q.weight")]:
        layer = name.removesuffix(".weight")
        tensors[name], tensors[f"{layer}.weight_scale"] = quantize_fp8(tensors[name], "tensor")
        tensors[f"{layer}.comfy_quant"] = said.clone()
    save_file(tensors, file)


@pytest.mark.parametrize(
    "write, suffix, mutate",
    [
        (stable_diffusion_cpp, "gguf", lambda content, chance: header_scratched(content, chance)),
        (checkpoint_save, "safetensors", mutated_file),
        (wrapped, "sft", mutated_file),
        (mixed_precision, "safetensors", mutated_file),
    ],
    ids=["stable_diffusion_cpp", "checkpoint_save", "wrapped", "mixed_precision"],
)
def test_damaged_files_of_other_programs_are_refused_or_hold_the_same_weights(
    tmp_path, write, suffix, mutate
):
    file = tmp_path / f"model.{suffix}"
    write(file)

    def loaded() -> dict[str, torch.Tensor]:
        mmdit = on_meta(MMDiT, SMALL)
        load_weights(mmdit, file, torch.float32)
        return {name: tensor.float() for name, tensor in tensors_of(mmdit).items()}

    good = loaded()
    refused = count_refused(7, file, mutate, lambda: assert_equal(loaded(), good), count=MUTANTS)
    assert refused > MUTANTS / 2


def header_scratched(content: bytes, chance) -> bytes:
    """A .gguf file with bits, bytes or pieces of its first bytes changed"""
    begin = 4000  # of about 7,000 bytes of header
    return scratched(content[:begin], chance) + content[begin:]
