"""Files of control networks: told apart by their header, loaded strictly, streamed bit for bit."""

from dataclasses import replace

import pytest
import torch
from helpers.nets import SMALL, filled, model
from safetensors.torch import save_file

from qwenimage_ref.adapt import control_files, lora
from qwenimage_ref.adapt.control import Applied, BlockwiseConfig, BlockwiseControlNet, Controlled
from qwenimage_ref.adapt.control_files import BLOCKWISE, INSTANTX, kind_of, load
from qwenimage_ref.checkpoint import save
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import Call, MMDiT
from qwenimage_ref.parity.reference import random_weights

BLOCKS = BlockwiseConfig(SMALL.num_layers, SMALL.inner_dim)
COPY = ControlNetConfig.from_dict(SMALL.to_dict() | {"num_layers": 1})
KINDS = {
    "canny": (BlockwiseControlNet, BLOCKS),
    "inpaint": (BlockwiseControlNet, replace(BLOCKS, extra_condition_channels=4)),
    "union": (ControlNet, COPY),
    "inpainting": (ControlNet, replace(COPY, num_layers=2, extra_condition_channels=4)),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def network(name, seed=3):
    kind, config = KINDS[name]
    return random_weights(kind(config), seed)


def saved(net, folder, prefix=""):
    file = folder / "net.safetensors"
    save_file({prefix + key: tensor.contiguous() for key, tensor in net.state_dict().items()}, file)
    return file


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def calls(dtype=torch.float32):
    """Both branches of guidance in one step."""
    img, sigma = noise(1, 12, 64, seed=1).to(dtype), torch.tensor([0.4], dtype=dtype)
    texts = (noise(1, length, 40, seed=length).to(dtype) for length in (5, 2))
    return [Call(img, txt, sigma, [(1, 3, 4)]) for txt in texts]


@torch.no_grad()
def velocities(mmdit, net, dtype=torch.float32):
    tokens = noise(1, 12, net.config.control_channels).to(dtype)
    return torch.cat(Controlled(mmdit, [Applied(net, tokens)], 2).many(calls(dtype)))


@every_kind
@pytest.mark.parametrize("as_folder", [True, False], ids=["folder", "single file"])
def test_every_kind_is_recognised_and_loaded(tmp_path, name, as_folder):
    net = network(name)
    source = saved(net, tmp_path)
    if as_folder:
        source = tmp_path / "sharded"
        save(net, source)
    loaded = load(source, model())
    assert type(loaded) is type(net) and loaded.config == net.config
    assert not any(p.requires_grad for p in loaded.parameters())
    assert torch.equal(velocities(model(), loaded), velocities(model(), net))


@every_kind
def test_streamed_networks_add_the_same_bits(tmp_path, name):
    source, mmdit = saved(network(name), tmp_path), model().to(torch.bfloat16)
    resident = load(source, mmdit, torch.bfloat16)
    streamed = load(source, mmdit, torch.bfloat16, streamed=True)
    held = sum(p.numel() for p in streamed.parameters())
    assert held < sum(p.numel() for p in resident.parameters()) / 2
    assert torch.equal(
        velocities(mmdit, streamed, torch.bfloat16), velocities(mmdit, resident, torch.bfloat16)
    )


def test_a_network_saved_in_training_is_read_without_its_prefix(tmp_path):
    net = network("canny")
    file = saved(net, tmp_path, "pipe.blockwise_controlnet.models.0.")
    assert torch.equal(velocities(model(), load(file, model())), velocities(model(), net))


def test_names_are_resolved_in_the_hub_cache(tmp_path, monkeypatch):
    saved(network("canny"), tmp_path)
    asked = []
    monkeypatch.setattr(
        control_files.locate, "resolve", lambda name: asked.append(name) or tmp_path
    )
    assert isinstance(load("canny", model()), BlockwiseControlNet)
    assert asked == ["DiffSynth-Studio/Qwen-Image-Blockwise-ControlNet-Canny"]


@pytest.mark.parametrize(
    "names, kind",
    [
        (["controlnet_x_embedder.weight", "transformer_blocks.0.txt_mod.1.bias"], INSTANTX),
        (["controlnet_x_embedder.weight", "transformer_blocks.0.norm1.linear.bias"], None),  # FLUX
        (["controlnet_blocks.0.y_rms.weight"], BLOCKWISE),
        (["controlnet_blocks.0.weight"], None),
        (["transformer_blocks.0.txt_mod.1.bias"], None),
    ],
)
def test_a_kind_is_told_by_names(names, kind):
    assert kind_of(names) == kind


# -- the base it acts on --------------------------------------------------------------------------


def with_lora(folder):
    adapted = model()
    filled(lora.inject(adapted, "*attn.to_q", rank=2))
    return adapted


def reloaded(save_packed, suffix):
    def load_packed(folder):
        save_packed(model(), folder / f"base{suffix}")
        with torch.device("meta"):
            packed = MMDiT(SMALL)
        load_weights(packed, folder / f"base{suffix}", torch.float32)
        return packed

    return load_packed


def streamed_base(folder):
    save(model(), folder / "base")
    with torch.device("meta"):
        base = MMDiT(SMALL)
    load_weights(base, folder / "base", torch.float32, streamed=True)
    return base


@pytest.mark.parametrize(
    "base",
    [with_lora, reloaded(save_fp8, ".safetensors"), reloaded(save_gguf, ".gguf"), streamed_base],
    ids=["LoRA", "fp8", "GGUF", "streamed"],
)
@torch.no_grad()
def test_a_control_adds_the_same_to_every_kind_of_base(base, tmp_path):
    mmdit, net = base(tmp_path), network("canny")
    control = net(noise(1, 12, 64))

    def by_hand(i, img):
        return img + net.controlnet_blocks[i](img, control)

    call = calls()[0]
    expected = mmdit.many([call._replace(after_block=by_hand)])[0]
    assert torch.equal(velocities(mmdit, net)[:1], expected)


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, numbers",
    [
        ("canny", {"num_layers": 3}),
        ("canny", {"num_layers": 1}),
        ("canny", {"inner_dim": 64}),
        ("canny", {"extra_condition_channels": 8}),
        ("union", {"num_layers": 3}),
        ("union", {"num_attention_heads": 4}),
    ],
)
def test_a_network_of_another_transformer_is_one_line(tmp_path, name, numbers):
    kind, config = KINDS[name]
    file = saved(kind(replace(config, **numbers)), tmp_path)
    with pytest.raises(CheckpointError, match="for a transformer of 2 blocks that is 32 wide") as e:
        load(file, model())
    assert "\n" not in str(e.value) and str(file) in str(e.value)


def test_a_network_whose_text_has_another_width_is_one_line(tmp_path):
    file = saved(ControlNet(replace(COPY, joint_attention_dim=48)), tmp_path)
    with pytest.raises(CheckpointError, match="text states that are 40 wide, got 48; take the one"):
        load(file, model())


def test_a_network_that_lacks_a_tensor_is_one_line(tmp_path):
    state = network("canny").state_dict()
    del state["controlnet_blocks.1.x_rms.weight"]
    save_file(state, tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="1 tensors are missing .controlnet_blocks.1.x_rms"):
        load(tmp_path / "net.safetensors", model())


def test_a_file_of_something_else_is_one_line(tmp_path):
    save_file({"lora_A": torch.ones(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(CheckpointError, match="must hold a control network of Qwen-Image"):
        load(tmp_path / "lora.safetensors", model())


@pytest.mark.parametrize("source", ["canny", "no/such", "scribble", "missing.safetensors"])
def test_a_network_that_is_not_here_is_one_line(source, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    words = f"one of canny, depth, inpaint, union, inpainting, got {source}; check"
    with pytest.raises(CheckpointError, match=words):
        load(source, model())
