"""How everything whose docstring begins with shapes is called, with sizes that are all distinct.

One function a file of the model, built when its first case is asked for: what cannot be built
fails its own cases and no others.
"""

import functools

import torch
from PIL import Image

from qwenimage_ref import mmdit, pipeline, rope, sampler, text_encoder, vae, vision
from qwenimage_ref.adapt import lora, lora_kinds, regions, tiling
from qwenimage_ref.adapt.control import BlockwiseBlock, BlockwiseConfig, BlockwiseControlNet
from qwenimage_ref.captioner import Captioner, Past, RememberingAttention
from qwenimage_ref.checkpoint.headers import Place
from qwenimage_ref.conditions import Branch
from qwenimage_ref.config import (
    MMDiTConfig,
    SchedulerConfig,
    TextEncoderConfig,
    VAEConfig,
    VisionConfig,
)
from qwenimage_ref.controlnet import ControlNet, ControlNetConfig
from qwenimage_ref.formats import (
    comfy,
    comfy_layouts,
    fp8,
    fp8_table,
    gguf,
    gguf_blocks,
    svd_int4,
)
from qwenimage_ref.parity.validate import public_numbers
from qwenimage_ref.tasks.image_to_image import under_noise
from qwenimage_ref.tasks.inpaint import blurred, latent_mask
from qwenimage_ref.tasks.layers import frames_of_noise, without_rescale
from qwenimage_ref.tasks.regions import seen_tokens
from qwenimage_ref.train import adversary, distill, dmd2, flow, grpo, muon, preference, sde
from qwenimage_ref.train import lora as lora_training
from qwenimage_ref.train.loop import Recipe

# the letters of a shape; a case may give one another size, or name sizes of its own
SIZES = {
    "...": (13, 11),  # any leading dimensions
    "B": 2, "T": 5, "I": 21, "S": 26, "R": 10, "H": 3, "K": 24, "D": 72, "Dt": 40,
    "C": 16, "h": 6, "w": 14, "N": 60, "steps": 9, "height": 84, "width": 140,
}  # fmt: skip
GRID = (1, 3, 7)  # I = 21 tokens, of latents with h = 6 and w = 14
VISION_GRID = (1, 6, 10)  # N = 60 patches, of 84x140 pixels

MMDIT = MMDiTConfig(
    num_layers=2,
    num_attention_heads=SIZES["H"],
    attention_head_dim=SIZES["K"],
    joint_attention_dim=SIZES["Dt"],
    axes_dims_rope=(4, 8, 12),
)
TEXT = TextEncoderConfig(
    num_hidden_layers=2,
    hidden_size=SIZES["D"],
    num_attention_heads=SIZES["H"],
    num_key_value_heads=1,
    intermediate_size=50,
    vocab_size=97,
    mrope_section=(5, 4, 3),
)
VISION = VisionConfig(
    depth=2,
    hidden_size=SIZES["D"],
    num_heads=SIZES["H"],
    intermediate_size=50,
    out_hidden_size=40,
    fullatt_block_indexes=(1,),
)
SMALL_VAE = VAEConfig(base_dim=4)
D, H, K, C = (SIZES[letter] for letter in "DHKC")
PIXELS = {"H": 48, "W": 112}  # of a picture; elsewhere H counts heads
PICTURE = Image.new("RGB", (140, 84))


@functools.cache
def transformer() -> mmdit.MMDiT:
    return mmdit.MMDiT(MMDIT)


def turns(count: int):
    """The rotation of `count` tokens that turns nothing."""
    return torch.ones(count, K // 2, dtype=torch.complex64)


def still(x):
    """Cosine and sine, (B, 1, T, K) each, that turn nothing."""
    cos = torch.ones(len(x), 1, x.shape[1], K)
    return cos, torch.zeros_like(cos)


def case(call, sizes=None, **more):
    """How to call what has a signature, with tensors made from it, and sizes other than SIZES."""
    return call, SIZES | (sizes or {}) | more


def _mmdit() -> dict:
    """Layers of the transformer, alone and together."""
    edit_2511 = mmdit.MMDiT(MMDiTConfig.from_dict(MMDIT.to_dict() | {"zero_cond_t": True}))
    return {
        "mmdit.RMSNorm": case(mmdit.RMSNorm(D)),
        "mmdit.layer_norm": case(mmdit.layer_norm),
        "mmdit.modulate": case(mmdit.modulate),
        "mmdit.TimestepEmbedder": case(mmdit.TimestepEmbedder(D)),
        "mmdit.TimeTextEmbed": case(mmdit.TimeTextEmbed(D, additional_row=True)),
        "mmdit.Modulation": case(mmdit.Modulation(D)),
        "mmdit.GELUProjection": case(mmdit.GELUProjection(D)),
        "mmdit.MLP": case(mmdit.MLP(D)),
        "mmdit.JointAttention": case(
            lambda img, txt: mmdit.JointAttention(D, H)(img, txt, turns(21), turns(5))
        ),
        "mmdit.Block": case(
            lambda img, txt, temb: mmdit.Block(D, H)(
                img, txt, temb, turns(21), turns(5), times=torch.arange(21) % 10
            )
        ),
        "mmdit.FinalNorm": case(mmdit.FinalNorm(D)),
        "mmdit.MMDiT.forward": case(
            lambda img, txt, sigma: transformer()(img, txt, sigma, [GRID, (1, 3, 4)]),
            I=33,
            I_target=21,
        ),
        "mmdit.MMDiT.rotations": case(lambda: transformer().rotations([GRID], 5)),
        "mmdit.MMDiT.times": case(lambda sigma: edit_2511.times(sigma, 15, 21), B=3, R=2),
    }


def _controlnet() -> dict:
    """A network that runs beside the transformer."""
    config = ControlNetConfig.from_dict(MMDIT.to_dict() | {"extra_condition_channels": 4})
    return {
        "controlnet.ControlNet.forward": case(
            lambda *inputs: ControlNet(config)(*inputs, GRID), {"Dc": 68}
        ),
    }


def _schedule() -> dict:
    """Positions, noise levels and steps."""
    return {
        "rope.positions": case(lambda: rope.positions([GRID], 5)),
        "rope.rotations": case(lambda pos: rope.rotations(pos, MMDIT.axes_dims_rope)),
        "rope.rotate": case(lambda x, angle: rope.rotate(x, torch.polar(torch.ones(()), angle))),
        "sampler.draw": case(
            lambda: sampler.draw((2, 16, 6, 14), sampler.generators(0, 2), torch.float32)
        ),
        "sampler.pack": case(sampler.pack),
        "sampler.unpack": case(lambda tokens: sampler.unpack(tokens, 3, 7)),
        "sampler.sigmas": case(lambda: sampler.sigmas(9, 21, SchedulerConfig.official())),
        "sampler.model_time": case(lambda sigma: sampler.model_time(sigma, torch.bfloat16)),
        "sampler.euler_step": case(sampler.euler_step),
        "sampler.guide": case(lambda cond, uncond: sampler.guide(cond, uncond, 4.0)),
    }


def rounds() -> grpo.Rounds:
    """Groups of pictures of 21 tokens, without guidance."""
    recipe = Recipe(steps=1, batch=1, lr=1e-3)
    settings = grpo.Reward(steps=4, guidance=1.0)
    scheduler = SchedulerConfig.official()
    return grpo.Rounds(
        transformer(), None, [], None, None, (16, 6, 14), scheduler, recipe, settings
    )


def _training() -> dict:
    """Losses and what they draw."""
    return {
        "train.flow.sample_sigma": case(lambda: flow.sample_sigma(2, 3.0, torch.Generator())),
        "train.distill.rollout": case(
            lambda noise, txt: distill.rollout(
                transformer(), noise, txt, torch.tensor([1.0, 0.5, 0.0])
            ),
            {"4C": 64},
        ),
        "train.distill.distill_loss": case(
            lambda *inputs: distill.distill_loss(transformer(), *inputs, torch.tensor([1.0, 0.0]))
        ),
        "train.sde.spread": case(lambda a, b: sde.spread(a, 0.7, b)),
        "train.sde.transition": case(sde.transition),
        "train.sde.log_probability": case(sde.log_probability),
        "train.sde.divergence": case(sde.divergence),
        "train.grpo.advantages": case(grpo.advantages),
        "train.grpo.clipped_loss": case(lambda *inputs: grpo.clipped_loss(*inputs, 1e-4)),
        "train.grpo.Rounds.velocity": case(rounds().velocity, D=64),
        "train.grpo.Rounds.step": case(lambda x, txt: rounds().step(x, txt, 1), D=64),
        "train.dmd2.matching_loss": case(dmd2.matching_loss),
        "train.dmd2.with_slope": case(dmd2.with_slope),
        "train.adversary.judge_loss": case(adversary.judge_loss),
        "train.adversary.fooling_loss": case(adversary.fooling_loss),
        "train.adversary.Judge": case(adversary.Judge(D, seed=0)),
        "train.muon.orthogonal": case(muon.orthogonal, {"out": 12, "in": 7}),
        "train.lora.padded": case(lambda state: lora_training.padded([state[:3], state])),
        "train.flow.draw_sigma": case(lambda: flow.draw_sigma("uniform", 2, torch.Generator())),
        "train.flow.loss_weight": case(lambda sigma: flow.loss_weight("bell", sigma)),
        "train.flow.flow_errors": case(
            lambda *inputs: flow.flow_errors(transformer(), *inputs), {"4C": 64}
        ),
        "train.preference.dpo_loss": case(lambda *errors: preference.dpo_loss(*errors, 100.0)),
        "train.preference.errors_of_both": case(
            lambda *inputs: preference.errors_of_both(transformer(), *inputs)
        ),
        "train.flow.flow_step": case(lambda *inputs: flow.flow_step(transformer(), *inputs)),
    }


def _vae() -> dict:
    """Layers of the VAE, alone and together."""
    autoencoder = vae.VAE(SMALL_VAE)
    return {
        "vae.channels_last": case(vae.channels_last),
        "vae.Norm": case(vae.Norm(C)),
        "vae.ResBlock": case(vae.ResBlock(9, 10), C_in=9, C_out=10),
        "vae.Attention": case(vae.Attention(C)),
        "vae.MidBlock": case(vae.MidBlock(C)),
        "vae.Downsample": case(vae.Downsample(C, in_time=True)),
        "vae.UpConv": case(vae.UpConv(C)),
        "vae.UpConv.plain": case(vae.UpConv(C).plain),
        "vae.Upsample": case(vae.Upsample(C, in_time=True)),
        "vae.UpBlock": case(vae.UpBlock(9, 10, 2, upsample=True, in_time=True), C_in=9, C_out=10),
        "vae.Encoder": case(autoencoder.encoder, PIXELS),
        "vae.Decoder": case(autoencoder.decoder, PIXELS),
        "vae.VAE.encode": case(autoencoder.encode, PIXELS),
        "vae.VAE.decode": case(autoencoder.decode, PIXELS),
        "vae.VAE.normalize": case(autoencoder.normalize),
        "vae.VAE.denormalize": case(autoencoder.denormalize),
    }


def _text() -> dict:
    """Layers of the text tower, alone and together."""
    return {
        "text_encoder.RMSNorm": case(text_encoder.RMSNorm(D, 1e-6)),
        "text_encoder.rotation_table": case(lambda p: text_encoder.rotation_table(p, TEXT)),
        "text_encoder.rotate_half": case(text_encoder.rotate_half),
        "text_encoder.Attention": case(lambda x: text_encoder.Attention(TEXT)(x, *still(x))),
        "text_encoder.MLP": case(text_encoder.MLP(TEXT)),
        "text_encoder.Layer": case(lambda x: text_encoder.Layer(TEXT)(x, *still(x))),
        "text_encoder.TextEncoder.forward": case(
            lambda x: text_encoder.TextEncoder(TEXT)(x.long())
        ),
        "text_encoder.TextEncoder._causal": case(text_encoder.TextEncoder._causal),
        "captioner.RememberingAttention": case(
            lambda x: RememberingAttention(TEXT)(x, *still(x), Past())
        ),
        "captioner.Captioner.scores": case(
            lambda state, seen: Captioner(TEXT).scores(state, seen > 0.5), V=97
        ),
    }


def _vision() -> dict:
    """Layers of the vision tower, alone and together."""
    return {
        "vision.resize_pil": case(lambda: vision.resize_pil(PICTURE, 40, 30), height=40, width=30),
        "vision.resize_uint8": case(
            lambda: vision.resize_uint8(PICTURE, 40, 30), height=40, width=30
        ),
        "vision.cut_patches": case(lambda pixels: vision.cut_patches(pixels, VISION)),
        "vision.preprocess": case(lambda: vision.preprocess(PICTURE, VISION), rows=6, cols=10),
        "vision.coordinates": case(lambda: vision.coordinates([VISION_GRID], VISION)),
        "vision.angles": case(lambda place: vision.angles(place, K)),
        "vision.rotate": case(vision.rotate),
        "vision.RMSNorm": case(vision.RMSNorm(D)),
        "vision.PatchEmbed": case(vision.PatchEmbed(VISION)),
        "vision.Attention": case(
            lambda x: vision.Attention(D, H)(x, torch.zeros(60, K // 2), lengths=[36, 24])
        ),
        "vision.MLP": case(vision.MLP(D, 50)),
        "vision.Block": case(
            lambda x: vision.Block(VISION)(x, torch.zeros(60, K // 2), lengths=[36, 24])
        ),
        "vision.Merger": case(vision.Merger(VISION), {"D of the language tower": 40}),
        "vision.Vision.forward": case(lambda x: vision.Vision(VISION)(x, [VISION_GRID]), D=40),
    }


def _formats() -> dict:
    """Packed layers and adapters."""
    packed = gguf.GGUFLinear(torch.ones(10, 34, dtype=torch.uint8), "Q8_0", None)
    pair = lora.Pair(torch.ones(4, 24), torch.ones(10, 4), alpha=2.0)
    difference = lora.Difference(torch.ones(10, 24), torch.ones(10))
    kron = lora_kinds.Kronecker({"lokr_w1": torch.ones(2, 3), "lokr_w2": torch.ones(5, 8)})
    factors = [torch.ones(10, 4), torch.ones(4, 24)] * 2
    hadamard = lora_kinds.Hadamard(dict(zip(lora_kinds.LOHA, factors)), alpha=2.0)
    dora = lora_kinds.Decomposed(pair, torch.ones(10, 1), torch.nn.Linear(24, 10))
    in_fp8 = fp8.Fp8Linear(torch.nn.Linear(128, 10), scale=(10, 2, 1))
    int8 = comfy_layouts.form_of({"format": "int8_tensorwise"}, (10, 24))
    parts = {"weight": torch.ones(10, 24).char(), "weight_scale": torch.ones(())}
    places = {n: Place(None, kind, parts[n].shape, 0, 0) for n, kind in zip(parts, ("I8", "F32"))}
    in_int8 = comfy.ComfyLinear(torch.nn.Linear(24, 10), int8, places)
    in_int8.load_state_dict(parts | {"bias": torch.rand(10)}, assign=True)
    in_svd = svd_int4.SVDInt4Linear(torch.nn.Linear(128, 10), rank=2)
    weight, scale = fp8.quantize_fp8(torch.rand(10, 128), "block")
    state = {"weight": weight, "scale": scale, "bias": torch.rand(10)}
    in_fp8.load_state_dict(state, assign=True)
    blockwise = BlockwiseConfig(num_layers=1, inner_dim=D, extra_condition_channels=4)
    tiled = tiling.TiledVAE(vae.VAE(SMALL_VAE))
    two_tiles = {"H": 48, "W": 272, "w": 34}
    return {
        "adapt.tiling.TiledVAE.encode": case(tiled.encode, two_tiles),
        "adapt.tiling.TiledVAE.decode": case(tiled.decode, two_tiles),
        "adapt.regions.inside": case(lambda mask: regions.inside(mask, *GRID[1:])),
        "adapt.regions.attention_mask": case(
            lambda seen: regions.attention_mask([2, 3], seen > 0.5), N=2
        ),
        "adapt.regions.text_positions": case(lambda: regions.text_positions([GRID], [3, 2])),
        "adapt.control.BlockwiseBlock": case(BlockwiseBlock(D)),
        "adapt.control.BlockwiseControlNet.forward": case(
            BlockwiseControlNet(blockwise), {"Dc": 68}
        ),
        "formats.comfy.ComfyLinear": case(in_int8, {"in": 24, "out": 10}),
        "formats.comfy_layouts.Form.unpack": case(
            lambda: int8.unpack(parts), {"in": 24, "out": 10}
        ),
        "formats.svd_int4.SVDInt4Linear": case(in_svd, {"in": 128, "out": 10}),
        "formats.svd_int4.smoothing": case(svd_int4.smoothing, {"in": 24, "out": 10}),
        "formats.comfy_layouts.from_tiles": case(
            lambda: comfy_layouts.from_tiles(torch.rand(256, 8), 130, 5), rows=130, columns=5
        ),
        "formats.comfy_layouts.rotate": case(
            lambda weight: comfy_layouts.rotate(weight, 16), {"in": 48, "out": 10}
        ),
        "formats.fp8_table.widen": case(
            lambda weight: fp8_table.widen(weight.to(torch.float8_e4m3fn), torch.float32), n=6
        ),
        "formats.gguf.GGUFLinear": case(packed, {"in": 32, "out": 10}),
        "formats.gguf_blocks.decode": case(lambda x: gguf_blocks.decode(x.byte(), "Q8_0"), n=3),
        "formats.gguf_blocks.encode": case(lambda x: gguf_blocks.encode(x, "Q8_0"), n=3),
        "adapt.lora_layers.Difference.forward": case(difference, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Kronecker.delta": case(kron.delta, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Kronecker.forward": case(kron, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Hadamard.delta": case(hadamard.delta, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Hadamard.forward": case(hadamard, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Decomposed.weight": case(dora.weight, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Decomposed.delta": case(dora.delta, {"in": 24, "out": 10}),
        "adapt.lora_kinds.Decomposed.forward": case(dora, {"in": 24, "out": 10}),
        "adapt.lora_layers.Pair.delta": case(pair.delta, {"in": 24, "out": 10}),
        "adapt.lora_layers.Pair.forward": case(pair, {"in": 24, "out": 10}),
        "formats.fp8.Fp8Linear": case(in_fp8, {"in": 128, "out": 10}),
        "formats.fp8.quantize_fp8": case(
            lambda w: fp8.quantize_fp8(w, "row")[0], {"in": 128, "out": 10}
        ),
        "formats.fp8.unpack_fp8": case(
            lambda w: fp8.unpack_fp8(w, None, torch.float32), {"in": 128, "out": 10}
        ),
        "checkpoint.packed_linear.PackedLinear": case(packed, {"in": 32, "out": 10}),
        "checkpoint.packed_linear.PackedLinear.unpacked": case(
            lambda: packed.unpacked(torch.float32), {"in": 32, "out": 10}
        ),
    }


def _pipeline() -> dict:
    """From noise to latents."""
    levels = SchedulerConfig.official()
    autoencoder = vae.VAE(SMALL_VAE)
    painter = pipeline.QwenImage(None, None, transformer(), autoencoder, levels, recommended={})
    return {
        "pipeline.QwenImage.noise": case(lambda: painter.noise(2, 48, 112, seed=0)),
        "pipeline.QwenImage.denoise": case(
            lambda x: painter.denoise(x, torch.tensor([1.0, 0.5, 0]), Branch(torch.zeros(2, 5, 40)))
        ),
    }


def _tasks() -> dict:
    """Pictures that go in."""
    mask = Image.new("L", (14 * 8, 6 * 8), 255)
    levels, autoencoder = SchedulerConfig.official(), vae.VAE(SMALL_VAE)
    painter = pipeline.QwenImage(None, None, transformer(), autoencoder, levels)
    return {
        "tasks.image_to_image.under_noise": case(under_noise),
        "tasks.inpaint.latent_mask": case(lambda: latent_mask(mask, 8)),
        "tasks.inpaint.blurred": case(lambda mask: blurred(mask, 2, 1.0), N=2),
        "tasks.layers.frames_of_noise": case(
            lambda: frames_of_noise(painter, 3, Image.new("RGBA", (14 * 8, 6 * 8)), 0), frames=3
        ),
        "tasks.layers.without_rescale": case(
            lambda cond, uncond: without_rescale(cond, uncond, 4.0)
        ),
        "tasks.regions.seen_tokens": case(lambda: seen_tokens(mask, [GRID])),
    }


def _parity() -> dict:
    """Public numbers of the released weights."""
    autoencoder = vae.VAE(SMALL_VAE)
    return {
        "parity.validate.public_numbers.latents_and_colours": case(
            lambda img: public_numbers.latents_and_colours(autoencoder, img), PIXELS, N=2 * 6 * 14
        ),
    }


BUILDERS = {
    "mmdit": _mmdit,
    "controlnet": _controlnet,
    "rope": _schedule,
    "sampler": _schedule,
    "train": _training,
    "vae": _vae,
    "text_encoder": _text,
    "captioner": _text,
    "vision": _vision,
    "formats": _formats,
    "adapt": _formats,
    "checkpoint": _formats,
    "pipeline": _pipeline,
    "tasks": _tasks,
    "parity": _parity,
}


@functools.cache
def cases_of(room: str) -> dict:
    """{dotted name: (call, sizes)} of the first part of a name, and of its neighbours"""
    return BUILDERS[room]()


def case_of(name: str) -> tuple:
    """The call and the sizes for a dotted name. Raises KeyError where none is written."""
    return cases_of(name.split(".")[0])[name]


def names() -> set[str]:
    """Everything that has a case."""
    return {name for room in BUILDERS for name in cases_of(room)}
