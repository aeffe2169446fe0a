"""Does not clip."""


def answer(weights, optimisers, set_rates, loss_at, steps, keep):
    average = [weight.detach().clone() for weight in weights]
    losses = []
    for step in range(steps):
        set_rates(step)
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        for slow, weight in zip(average, weights):
            slow.lerp_(weight.detach(), 1 - keep)
    return losses, average


HINT = "the gradient is not clipped"
