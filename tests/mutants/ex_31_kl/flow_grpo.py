"""As flow_grpo."""


def answer(velocity, reference, sigma, sigma_next, s):
    step = sigma_next - sigma
    apart = (1 + s**2 * (1 - sigma) / (2 * sigma)) * step * (velocity - reference)
    return (apart.pow(2) / (2 * s**2)).mean(1)


HINT = "flow_grpo divides"
