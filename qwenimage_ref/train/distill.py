"""Direct distillation: a few unguided steps learn to end where many guided steps ended.

The trajectory from noise to picture is deterministic, so noise and prompt have one right result,
the teacher's. The gradient runs through all of the student's few steps.
"""

from ..sampler import euler_step, pack


def rollout(mmdit, noise, txt, levels, txt_mask=None):
    """(B, C, h, w), (B, T, Dt) -> (B, I, 4C): packed latents at levels[-1], one step per level"""
    grids = [(1, noise.shape[2] // 2, noise.shape[3] // 2)]
    x = pack(noise)
    for sigma, sigma_next in zip(levels, levels[1:]):
        velocity = mmdit(x, txt, sigma.to(x.device).expand(len(x)), grids, txt_mask)
        x = euler_step(x, velocity.float(), sigma, sigma_next)
    return x


def distill_loss(mmdit, noise, target, txt, levels, txt_mask=None):
    """(B, C, h, w), (B, C, h, w), (B, T, Dt) -> () mean squared distance from the teacher's end"""
    end = rollout(mmdit, noise, txt, levels, txt_mask)
    return (end.float() - pack(target).float()).pow(2).mean()
