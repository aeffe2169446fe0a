"""fp8 files whose blocks stay on disk: what is damaged is refused when they are loaded."""

import contextlib
from dataclasses import replace

import pytest
import torch
from helpers.nets import SMALL
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

CONFIG = replace(SMALL, num_attention_heads=4)  # 64 wide: one block of inputs that share a scale
SCALE = "transformer_blocks.0.attn.to_q.{}"
ENDINGS = {"tensor": "weight_scale", "row": "scale_weight", "block": "scale_weight"}


def empty() -> MMDiT:
    with torch.device("meta"):
        return MMDiT(CONFIG)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{granularity: an fp8 file}"""
    folder, network = tmp_path_factory.mktemp("fp8"), random_weights(empty(), 0).bfloat16()
    written = {granularity: folder / f"{granularity}.safetensors" for granularity in ENDINGS}
    for granularity, file in written.items():
        with pytest.warns() if granularity != "tensor" else contextlib.nullcontext():
            save_fp8(network, file, granularity)
    return written


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
@pytest.mark.parametrize("granularity", ENDINGS)
# 448 times the second is a number in float32, but not in bf16
@pytest.mark.parametrize("number", [1e38, 3.4e38 / 448, torch.nan, torch.inf, 0.0, -1.0])
def test_a_scale_that_is_no_number_to_multiply_by_is_refused(
    files, tmp_path, granularity, number, streamed
):
    tensors, network = load_file(files[granularity]), empty()
    tensors[SCALE.format(ENDINGS[granularity])].view(-1)[-1] = number
    file = tmp_path / "damaged.safetensors"
    save_file(tensors, file, metadata=metadata(files[granularity]))
    with pytest.raises(CheckpointError, match="the scale of .*to_q must be above zero"):
        load_weights(network, file, torch.bfloat16, streamed=streamed)
    assert all(p.is_meta for p in network.parameters())


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_a_scale_of_another_shape_is_refused(files, tmp_path, streamed):
    tensors, name = load_file(files["row"]), SCALE.format("scale_weight")
    tensors[name] = tensors[name][1:].clone()
    file = tmp_path / "damaged.safetensors"
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=r"to_q.scale_weight .*\[63, 1\]"):
        load_weights(empty(), file, torch.bfloat16, streamed=streamed)


def metadata(file) -> dict[str, str]:
    with safe_open(file, framework="pt") as opened:
        return opened.metadata()
