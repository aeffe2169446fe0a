"""What `make grade` compares: small configs and inputs, the same for both sides."""

from dataclasses import dataclass, replace

import torch

from ...config import MMDiTConfig, SchedulerConfig, TextEncoderConfig, VAEConfig, VisionConfig

MMDIT = MMDiTConfig(
    num_layers=2,
    num_attention_heads=3,
    attention_head_dim=24,
    joint_attention_dim=40,
    in_channels=20,
    out_channels=5,
    axes_dims_rope=(4, 8, 12),
)
TEXT = TextEncoderConfig(
    num_hidden_layers=2,
    hidden_size=48,
    num_attention_heads=6,
    num_key_value_heads=2,
    intermediate_size=56,
    vocab_size=97,
    mrope_section=(1, 1, 2),
    image_token_id=90,
)
VISION = VisionConfig(
    depth=1,
    hidden_size=32,
    num_heads=2,
    intermediate_size=40,
    out_hidden_size=48,
    fullatt_block_indexes=(0,),
)
SMALL_VAE = VAEConfig(
    base_dim=8,
    z_dim=5,
    latents_mean=(0.1, -0.2, 0.3, -0.4, 0.5),
    latents_std=(1.1, 1.2, 1.3, 1.4, 1.5),
)

TEXTS = (
    *("", " ", "a red circle left of a blue star", "A  cat\n\n sat;\tit's 1984!!\r\n", "\n\nwords"),
    *('the word "QWEN"', "红色的圆在蓝色的星左边", "café, cafe\u0301, ﬁ, Ω, ½", "👩\u200d👦 🇩🇪"),
    *("<|im_end|>\nassistant<|im_start|>", "{} {0} %s", "don't we'LL I'd 've", "x" * 70),
)
LONG_TEXTS = (*TEXTS, "a red star " * 500)  # the last one is longer than any prompt may be
PROMPTS = ("a large blue circle on a white background", "a red star", " ")
SIZE = {"height": 96, "width": 64}  # pixels: neither square nor what the weights were trained on
STEPS, SEED = 4, 7
SEEDS = (42, [42, 2**40])

AXES = (16, 56, 56)  # official width of a head: frames, rows, columns
POSITIONS = (-57, -1, 0, 1, 9, 700)
GRIDS = ([(1, 4, 6)], [(1, 5, 3)], [(1, 1, 7)], [(1, 4, 6), (1, 9, 2), (1, 3, 3)])

SCHEDULERS = (
    SchedulerConfig.official(),
    replace(SchedulerConfig.official(), shift_terminal=0.0),
)
SCHEDULES = ((20, 64), (50, 6889), (2, 4096))  # steps, image tokens
DTYPES = (torch.float32, torch.bfloat16)


def noise(*shape, seed=0) -> torch.Tensor:
    """Normal numbers in float32, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def token_ids(*shape) -> torch.Tensor:
    """Ids below the number that stands for an image in TEXT, the same each time."""
    return torch.randint(90, shape, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class NetworkCase:
    """A small network and what it is called with."""

    kind: str  # "mmdit", "text_encoder" or "vae", as the tolerances call it
    config: MMDiTConfig | TextEncoderConfig | VAEConfig
    inputs: dict  # arguments of our class
    quiet: tuple[str, ...] = ()  # words in the names of weights that are small: eps then matters


def _text(*shape, lengths=None, quiet=False) -> NetworkCase:
    inputs = {"ids": token_ids(*shape)}
    if lengths:
        inputs["mask"] = torch.arange(shape[1]) < torch.tensor(lengths).unsqueeze(1)
    return NetworkCase("text_encoder", TEXT, inputs, ("embed_tokens",) if quiet else ())


def _vae(**inputs) -> NetworkCase:
    return NetworkCase("vae", SMALL_VAE, inputs)


def _mmdit(grids, padded=False, quiet=False, **flags) -> NetworkCase:
    config = replace(MMDIT, **flags)
    tokens = sum(frames * rows * cols for frames, rows, cols in grids)
    inputs = {
        "img": noise(2, tokens, config.in_channels),
        "txt": noise(2, 7, config.joint_attention_dim, seed=1) * (0.01 if quiet else 1),
        "sigma": torch.tensor([0.37, 0.91]),
        "grids": grids,
    }
    if padded:
        inputs["txt_mask"] = torch.arange(7) < torch.tensor([[7], [4]])
    small = ("img_in", "txt_in", "to_q", "to_k", "add_q_proj", "add_k_proj") if quiet else ()
    return NetworkCase("mmdit", config, inputs, small)


NETWORKS = {  # name of a part: what runs in it
    "text encoder: a prompt": _text(2, 9),
    "text encoder: shorter prompts, padded": _text(3, 11, lengths=(11, 4, 7)),
    "text encoder: quiet states": _text(2, 7, quiet=True),
    "vae: picture to latents": _vae(img=noise(2, 3, 24, 56).clamp(-1, 1)),
    "vae: latents to picture": _vae(z=noise(2, 5, 3, 7)),
    "mmdit: a picture of odd size": _mmdit([(1, 5, 7)]),
    "mmdit: shorter prompts, padded": _mmdit([(1, 4, 3)], padded=True),
    "mmdit: quiet streams": _mmdit([(1, 4, 6)], quiet=True),
    "mmdit: condition pictures": _mmdit([(1, 5, 7), (1, 3, 8)], zero_cond_t=True),
    "mmdit: layers": _mmdit(
        [(3, 4, 2), (1, 4, 2)], use_layer3d_rope=True, use_additional_t_cond=True
    ),
}
