"""Damaged LoRA files and foreign ones, at random from a seed: refused in one line, or finite.

What is read belongs to layers of the model, has their shapes and is finite, strength included.
"""

import functools
import json
import random
import struct

import pytest
import torch
from helpers.mutations import count_refused, mutated, mutated_file
from helpers.nets import filled, model
from safetensors.torch import save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.lora_files import read_adapter
from qwenimage_ref.checkpoint.headers import ITEM_BYTES


@functools.cache
def shapes() -> dict:
    """Of the layers of the small model."""
    return lora.layer_shapes(model())


LAYERS = ("transformer_blocks.0.attn.to_q", "transformer_blocks.1.img_mlp.net.2", "txt_norm")
PREFIXES = ("", "diffusion_model.", "model.diffusion_model.", "transformer.", "base_model.model.",
            "lora_unet_", "lycoris_", "pipe.dit.", "module.", "_orig_mod.", "text_encoder.",
            "lora_te_", "text_encoders.qwen25_7b.transformer.", "unet.")  # fmt: skip
ENDINGS = ("lora_A.weight", "lora_B.weight", "lora_down.weight", "lora_up.weight", "lora_B.bias",
           "lora_A.default.weight", "lora.up.weight", "lora.down.weight", "alpha", "diff",
           "diff_b", "w_norm", "b_norm", "weight", "bias", "set_weight", "dora_scale",
           "lora_mid.weight", "lokr_w1", "hada_w1_a", "lora_magnitude_vector", "reshape_weight",
           "modules_to_save.default.weight", "scale_weight", "oft_diag")  # fmt: skip
TYPES = ("F32", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F64", "I64", "U8", "BOOL", "C64")
NUMBERS = ("8", "0.5", "0", "-1", "nan", "inf", "1e400", "1" * 400, "None", "", "x", "1+2j", "１")


def ours(file, layers="transformer_blocks.*.attn.to_[qk]") -> None:
    mmdit = model()
    filled(lora.inject(mmdit, layers, rank=2, alpha=1.0))
    lora.save(mmdit, file)


def reading(path, partial=False):
    """A function that reads the file, or PEFT's folder, and checks what it is given."""

    def attempt():
        content = read_adapter(path, shapes(), partial)
        for name, (A, B, alpha) in content.pairs.items():
            out, in_ = shapes()[name]
            assert (A.shape, B.shape) == ((len(A), in_), (out, len(A)))
            assert torch.isfinite(lora.Pair(A, B, alpha).delta()).all()
        for name, change in content.changes.items():
            assert change.delta().shape == shapes()[name] and change.delta().isfinite().all()
        for name, magnitude in content.magnitudes.items():
            assert magnitude.isfinite().all() and name in content.pairs | content.changes
        for name, (weight, bias) in content.differences.items():
            assert weight is None or weight.shape == shapes()[name] and torch.isfinite(weight).all()
            assert bias is None or bias.shape == shapes()[name][:1] and torch.isfinite(bias).all()
        assert content.pairs or content.changes or content.differences

    return attempt


def safetensors_of(tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict) -> bytes:
    header, begin = {"__metadata__": metadata} if metadata else {}, 0
    for key, (dtype, shape, content) in tensors.items():
        header[key] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [begin, begin + len(content)],
        }
        begin += len(content)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(c for *_, c in tensors.values())


def foreign(_content: bytes, chance: random.Random) -> bytes:
    """A file as some program might write it: keys, types, shapes and metadata of many kinds."""
    tensors, metadata = {}, {}
    prefix, flat = chance.choice(PREFIXES), chance.random() < 0.2
    dtype, fill = chance.choice(TYPES[:7]), chance.choice([b"\x3c"] * 9 + [b"\xff"])
    endings = chance.choice([("lora_A.weight", "lora_B.weight"), ("lora_down.weight", "lora_up."
                             "weight", "alpha"), ("diff",), chance.sample(ENDINGS, 3)])  # fmt: skip
    for layer in chance.sample(LAYERS, chance.choice([1, 1, 2, 2, 3])):
        size = list(shapes()[layer])
        for ending in endings:
            last = (size[-1:] if "A" in ending or "down" in ending else size[:1]) + [2]
            shape = [2, last[0]] if "A" in ending or "down" in ending else last
            shape = [] if ending == "alpha" else shape
            shape = size if ending in ("diff", "w_norm") else shape
            shape = size[:1] if ending in ("diff_b", "lora_B.bias") else shape
            before = chance.choice(PREFIXES) if chance.random() < 0.05 else prefix
            kind = chance.choice(TYPES) if chance.random() < 0.05 else dtype
            if chance.random() < 0.03:
                shape = chance.choice([[], [0], [1], [2, 2], [1, 1, 1, 1], [7]])
            if chance.random() < 0.01:
                before *= chance.choice([2, 9, 20_000])
            name = f"{before}{layer}".replace(".", "_") if flat else f"{before}{layer}"
            length = ITEM_BYTES[kind] * torch.Size(shape).numel()
            worse = chance.choice([b"\x00", b"\x7f"]) if chance.random() < 0.05 else fill
            tensors[f"{name}.{ending}"] = kind, shape, worse * length
    if chance.random() < 0.2:
        key = chance.choice(["alpha", "lora_alpha", "ss_network_alpha", "ss_network_dim"])
        metadata[key] = chance.choice(NUMBERS)
    if chance.random() < 0.2:
        config = {"r": chance.choice([2, 2, 4, 0, "2"]), "lora_alpha": chance.choice([1, 8.5, 0])}
        config["alpha_pattern"] = {chance.choice(["to_q", ".*", "norm.linear", "(", "a" * 999]): 2}
        metadata["lora_adapter_metadata"] = json.dumps(config)
    return safetensors_of(tensors, metadata)


@pytest.mark.filterwarnings("ignore:Possible nested set:FutureWarning")
@pytest.mark.parametrize("partial", [False, True])
def test_foreign_files_are_refused_or_read_whole(tmp_path, partial):
    file = tmp_path / "some.safetensors"
    file.touch()
    refused = count_refused(partial, file, foreign, reading(file, partial), 350)
    assert 150 < refused < 320


def test_damaged_files_are_refused_or_read_whole(tmp_path):
    file = tmp_path / "some.safetensors"
    ours(file)
    assert count_refused(2, file, mutated_file, reading(file), 300) > 200


def test_damaged_configs_are_refused_or_read_whole(tmp_path):
    tensors = {
        f"base_model.model.{LAYERS[0]}.lora_A.weight": torch.ones(2, 32),
        f"base_model.model.{LAYERS[0]}.lora_B.weight": torch.ones(32, 2),
    }
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    config = tmp_path / "adapter_config.json"
    settings = {"r": 2, "lora_alpha": 4, "use_rslora": True, "use_dora": False, "peft_type": "LORA"}
    settings |= {"alpha_pattern": {"to_q": 8, "net.2": 1}, "rank_pattern": {"to_k": 4}}
    config.write_text(json.dumps(settings))
    assert count_refused(3, config, mutated, reading(tmp_path), 300) > 120


def test_damaged_settings_in_a_header_are_refused_or_read_whole(tmp_path):
    file = tmp_path / "some.safetensors"
    A, B = ("F32", [2, 32], b"\x3c" * 256), ("F32", [32, 2], b"\x3c" * 256)
    tensors = {f"{LAYERS[0]}.lora_A.weight": A, f"{LAYERS[0]}.lora_B.weight": B}
    good = json.dumps({"transformer.r": 2, "transformer.lora_alpha": 4, "alpha_pattern": {"q": 1}})
    file.write_text(good)

    def written(content, chance):
        text = mutated(content, chance).decode("utf-8", "replace")
        return safetensors_of(tensors, {"lora_adapter_metadata": text})

    assert count_refused(4, file, written, reading(file), 250) > 100
