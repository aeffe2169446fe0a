"""Gives the timestep."""


def answer(network, x, levels, cond, uncond, true_cfg_scale):
    estimates = []
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = ((1000 * sigma).to(x.dtype)).expand(len(x))
        velocity = network(x, time, cond)
        if uncond is not None:
            away = network(x, time, uncond)
            combined = away + true_cfg_scale * (velocity - away)
            length = velocity.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
            velocity = combined * length
        estimates.append(x - sigma * velocity)
        x = (x.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)
    return x, estimates


HINT = "a thousand times as much"
