"""Runs twice without a negative condition."""


def answer(network, x, levels, cond, uncond, true_cfg_scale):
    estimates = []
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = ((1000 * sigma).to(x.dtype) / 1000).expand(len(x))
        velocity = network(x, time, cond)
        away = network(x, time, cond if uncond is None else uncond)
        if uncond is not None:
            combined = away + true_cfg_scale * (velocity - away)
            length = velocity.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
            velocity = combined * length
        estimates.append(x - sigma * velocity)
        x = (x.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)
    return x, estimates


HINT = "one call a step is enough"
