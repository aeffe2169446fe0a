"""No guidance at scales below 1."""


def answer(network, x, levels, cond, uncond, true_cfg_scale):
    estimates = []
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = ((1000 * sigma).to(x.dtype) / 1000).expand(len(x))
        velocity = network(x, time, cond)
        if uncond is not None and true_cfg_scale > 1:
            away = network(x, time, uncond)
            combined = away + true_cfg_scale * (velocity - away)
            length = velocity.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)
            velocity = combined * length
        estimates.append(x - sigma * velocity)
        x = (x + (sigma_next - sigma) * velocity).to(velocity.dtype)
    return x, estimates


HINT = "whatever the scale"
