"""A small transformer with two blockwise control networks, run by us and by DiffSynth-Studio.

    python tests/helpers/blockwise_case.py

writes DiffSynth's velocities to tests/golden/blockwise.safetensors. It needs diffsynth 2.1.12 and
torchvision, which nothing else here needs; `test_control.py` compares ours with the file.
"""

from pathlib import Path

import torch

from qwenimage_ref.adapt.control import Applied, BlockwiseConfig, BlockwiseControlNet, Controlled
from qwenimage_ref.config import MMDiTConfig
from qwenimage_ref.mmdit import Call, MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.sampler import pack, unpack

FILE = Path(__file__).parents[1] / "golden" / "blockwise.safetensors"
CONFIG = MMDiTConfig(  # heads are 128 wide, as DiffSynth's positions want them
    num_layers=4, num_attention_heads=2, attention_head_dim=128, joint_attention_dim=48
)
ROWS, COLS, STEPS, SIGMA = 6, 10, 4, 0.37  # of latents
EXTRA = (0, 4)  # a network for edges, and one for inpainting
# name: [(network, scale, start, end), ...] as shares of the steps from 0 to 1
RUNS = {
    "edges": [(0, 0.8, 0.0, 1.0)],
    "inpaint": [(1, 1.2, 0.0, 1.0)],
    "both": [(0, 0.8, 0.0, 0.5), (1, 1.2, 0.4, 1.0)],
}


def noise(*shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def networks() -> tuple[MMDiT, list[BlockwiseControlNet]]:
    numbers = [BlockwiseConfig(CONFIG.num_layers, CONFIG.inner_dim, 64, extra) for extra in EXTRA]
    nets = [random_weights(BlockwiseControlNet(each), 5 + n) for n, each in enumerate(numbers)]
    return random_weights(MMDiT(CONFIG), 1), nets


def inputs():
    """Latents, text states, and the latents of both pictures, one with a mask"""
    latents, txt = noise(1, 16, ROWS, COLS, seed=0), noise(1, 7, 48, seed=1)
    pictures = [noise(1, 16 + extra // 4, ROWS, COLS, seed=20 + extra) for extra in EXTRA]
    return latents, txt, pictures


@torch.no_grad()
def ours(runs) -> dict[str, torch.Tensor]:
    """Names of runs -> {run and step: velocity (1, 16, ROWS, COLS)}"""
    mmdit, nets = networks()
    latents, txt, pictures = inputs()
    call = Call(pack(latents), txt, torch.tensor([SIGMA]), [(1, ROWS // 2, COLS // 2)])
    velocities = {}
    for name in runs:
        applied = RUNS[name]
        run = Controlled(
            mmdit, [Applied(nets[n], pack(pictures[n]), *rest) for n, *rest in applied], STEPS
        )
        for step in range(STEPS):
            (velocity,) = run.many([call])
            velocities[f"{name} {step}"] = unpack(velocity, ROWS // 2, COLS // 2)
    return velocities


def diffsynth_network(mmdit: MMDiT) -> torch.nn.Module:
    """DiffSynth's transformer with the weights of ours"""
    from diffsynth.models import qwen_image_dit as theirs

    # its own transformer approximates GELU by a sigmoid, unlike the released model's code
    theirs.ApproximateGELU.forward = lambda self, x: torch.nn.functional.gelu(
        self.proj(x), approximate="tanh"
    )
    width, heads = CONFIG.inner_dim, CONFIG.num_attention_heads
    dit = theirs.QwenImageDiT(num_layers=0)
    dit.time_text_embed = theirs.TimestepEmbeddings(
        256, width, diffusers_compatible_format=True, scale=1000, align_dtype_to_timestep=False
    )
    dit.txt_norm = theirs.RMSNorm(CONFIG.joint_attention_dim, eps=1e-6)
    dit.img_in, dit.txt_in = mmdit.img_in, mmdit.txt_in
    blocks = [
        theirs.QwenImageTransformerBlock(width, heads, CONFIG.attention_head_dim)
        for _ in range(CONFIG.num_layers)
    ]
    dit.transformer_blocks = torch.nn.ModuleList(blocks)
    dit.norm_out, dit.proj_out = theirs.AdaLayerNorm(width, single=True), mmdit.proj_out
    dit.load_state_dict(mmdit.state_dict())
    return dit


@torch.no_grad()
def diffsynths() -> dict[str, torch.Tensor]:
    """The same from `model_fn_qwen_image`"""
    from diffsynth.diffusion.base_pipeline import ControlNetInput
    from diffsynth.models.qwen_image_controlnet import QwenImageBlockWiseControlNet
    from diffsynth.pipelines.qwen_image import (
        QwenImageBlockwiseMultiControlNet,
        model_fn_qwen_image,
    )

    mmdit, nets = networks()
    width, dit = CONFIG.inner_dim, diffsynth_network(mmdit)
    models = [QwenImageBlockWiseControlNet(CONFIG.num_layers, 64, extra, width) for extra in EXTRA]
    for model, net in zip(models, nets):
        model.load_state_dict(net.state_dict())
    latents, txt, pictures = inputs()
    velocities = {}
    for name, applied in RUNS.items():
        # its windows count down from 1
        records = [ControlNetInput(n, s, 1 - start, 1 - end) for n, s, start, end in applied]
        for step in range(STEPS):
            velocities[f"{name} {step}"] = model_fn_qwen_image(
                dit=dit, blockwise_controlnet=QwenImageBlockwiseMultiControlNet(models),
                latents=latents, timestep=torch.tensor([1000 * SIGMA]), prompt_emb=txt,
                prompt_emb_mask=torch.ones(1, 7, dtype=torch.long), height=8 * ROWS,
                width=8 * COLS, blockwise_controlnet_inputs=records, progress_id=step,
                blockwise_controlnet_conditioning=[pictures[n] for n, *_ in applied],
                num_inference_steps=STEPS,
            )  # fmt: skip
    return velocities


if __name__ == "__main__":
    from importlib.metadata import version

    from safetensors.torch import save_file

    source = {"source": f"diffsynth {version('diffsynth')}", "torch": torch.__version__}
    save_file(diffsynths(), FILE, metadata=source)
    print(f"{FILE}: {source}")
