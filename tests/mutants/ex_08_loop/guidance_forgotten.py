"""Never asks with the negative condition."""


def answer(network, x, levels, cond, uncond, true_cfg_scale):
    estimates = []
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = ((1000 * sigma).to(x.dtype) / 1000).expand(len(x))
        velocity = network(x, time, cond)
        estimates.append(x - sigma * velocity)
        x = (x.float() + (sigma_next - sigma) * velocity).to(velocity.dtype)
    return x, estimates


HINT = "runs it once"
