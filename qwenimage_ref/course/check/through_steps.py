"""The gradient of a few-step loss, one step at a time: what chapter 20 asks for, and its slips."""

import torch
from torch import nn

from ..answers import EX_20_LOSS
from .common import need, need_none, numbers, wrong_here

_SIZES = ((5, 3, 4), (4, 2, 7), (6, 5, 1))  # points, numbers in each, steps


class _Bent(nn.Module):
    """A curved velocity with parameters of three shapes."""

    def __init__(self, width: int):
        super().__init__()
        self.matrix = nn.Parameter(numbers(width, width, seed=21) / width**0.5)
        self.shift = nn.Parameter(numbers(width, seed=22))
        self.gain = nn.Parameter(torch.tensor(0.7))

    def forward(self, x, sigma):
        return torch.tanh(x @ self.matrix * (1 + sigma) + self.shift) * (1 + self.gain * sigma)


def check_gradients(gradients) -> None:
    """NotYet where gradients(student, noise, target, levels) are not those of the loss."""
    for seed, (count, width, steps) in enumerate(_SIZES):
        noise, target = numbers(2, count, width, seed=seed)
        lengths = numbers(steps, seed=seed + 10).exp()
        levels = 1 - torch.cat([torch.zeros(1), lengths.cumsum(0) / lengths.sum()])
        case = _Bent(width), noise, target, levels
        right = _right(*case)
        given = _checked(gradients, case, right)
        need_none(given, wrong_here(_SLIPS, right, _near, *case), _near, *case)
        need(
            _near(given, right),
            f"for {steps} steps these are other gradients; write down the chain rule for the last "
            "step alone, then for the one before it",
        )


def _checked(gradients, case, right) -> list:
    """What an answer gives, once it has the right form; NotYet also for too large a graph"""
    student, *_, levels = case
    with torch.enable_grad():
        whole = _most_kept(lambda: EX_20_LOSS(*case))[1]
        given, kept = _most_kept(lambda: gradients(*case))
    shapes = [tuple(gradient.shape) for gradient in right]
    need(
        isinstance(given, (list, tuple)) and len(given) == len(shapes),
        f"give a list of {len(shapes)} gradients, one for each of the student's parameters",
    )
    for gradient, shape in zip(given, shapes):
        need(
            isinstance(gradient, torch.Tensor) and gradient.shape == shape,
            f"the gradients have the shapes of the parameters, in their order, here {shapes}; one "
            f"of yours is {tuple(gradient.shape) if isinstance(gradient, torch.Tensor) else None}",
        )
    need(
        all(parameter.grad is None for parameter in student.parameters()),
        "the parameters' own .grad is not empty any more, and an optimizer would take it; return "
        "the gradients and leave that alone",
    )
    steps = len(levels) - 1
    need(
        steps < 4 or kept <= 0.6 * whole,
        f"the graph of {steps} steps is kept at once, which takes as much memory as the loss; take "
        "the steps without a graph, and run each again when its turn comes",
    )
    return [gradient.detach() for gradient in given]


def _right(student, noise, target, levels) -> list:
    with torch.enable_grad():
        loss = EX_20_LOSS(student, noise, target, levels)
        return [*torch.autograd.grad(loss, [*student.parameters()])]


class _Kept:
    """A tensor kept for the backward pass, and the count of those that wait."""

    now = most = 0

    def __init__(self, tensor):
        self.tensor = tensor
        _Kept.now += 1
        _Kept.most = max(_Kept.most, _Kept.now)

    def __del__(self):
        _Kept.now -= 1


def _most_kept(call) -> tuple:
    """What a call returns, and how many tensors at most waited for a backward pass at once"""
    _Kept.most, before = _Kept.now, _Kept.now
    with torch.autograd.graph.saved_tensors_hooks(_Kept, lambda kept: kept.tensor):
        given = call()
    return given, _Kept.most - before


def _near(a, b) -> bool:
    """Whether two lists of gradients differ by rounding at most"""
    return all((x - y).abs().max() <= 1e-5 * y.abs().max() for x, y in zip(a, b))


def _slip(
    first=lambda x, target: 2 * (x - target) / x.numel(), keep=1, carry=1, by=lambda h: h,
    by_x=lambda h: h, at=0, level=0, early=False, only=None, average=False, forwards=False,
):  # fmt: skip
    """The gradients with one thing done otherwise; first: of the loss by the end of all steps"""

    def gradients(student, noise, target, levels):
        weights, states = [*student.parameters()], [noise]
        with torch.no_grad():
            for sigma, sigma_next in zip(levels, levels[1:]):
                states.append(states[-1] + (sigma_next - sigma) * student(states[-1], sigma))
        towards, order = first(states[-1], target), [*range(len(states) - 1)]
        total = [torch.zeros_like(weight) for weight in weights]
        for i in order if forwards else order[::-1]:
            h = levels[i + 1] - levels[i]
            x = states[i + at].detach().requires_grad_()
            with torch.enable_grad():
                velocity = student(x, levels[i + level])
            to_x, *_ = torch.autograd.grad(velocity, [x], by_x(h) * towards, retain_graph=True)
            after = keep * towards + carry * to_x
            used = after if early else towards
            added = torch.autograd.grad(velocity, weights, by(h) * used)
            if only is None or i == order[only]:
                total = [a + b for a, b in zip(total, added)]
            towards = after
        return [each / len(order) for each in total] if average else total

    return gradients


_SLIPS = [
    (_slip(carry=0), "every step gets the gradient of the end as it is; on its way back through a "
     "step the gradient of x changes, since the velocity depends on x"),
    (_slip(keep=0), "a step adds to x, so the gradient of x goes on past the velocity as well as "
     "through it"),
    (_slip(by=lambda h: 1), "the gradients of the parameters lack the length of the step"),
    (_slip(by_x=lambda h: 1), "the gradient of x lacks the length of the step where it goes "
     "through the velocity"),
    (_slip(by=lambda h: 1, by_x=lambda h: 1), "the length of a step is missing: the velocity is "
     "multiplied by it"),
    (_slip(by=lambda h: -h, by_x=lambda h: -h), "a step is the next level less this one, below "
     "zero; yours has the other sign"),
    (_slip(by=lambda h: -h), "the gradients of the parameters have the other sign: a step is the "
     "next level less this one"),
    (_slip(by_x=lambda h: -h), "what goes through the velocity has the other sign: a step is the "
     "next level less this one"),
    (_slip(first=lambda x, target: 2 * (target - x) / x.numel()), "all gradients have the other "
     "sign: begin with the derivative of the loss by the end, end less target"),
    (_slip(first=lambda x, target: 2 * (x - target)), "the loss is a mean over all numbers; yours "
     "is a sum"),
    (_slip(first=lambda x, target: (x - target) / x.numel()), "half as large as they should be: a "
     "square has a factor when it is differentiated"),
    (_slip(first=lambda x, target: 2 * (x - target) / len(x)), "the loss is a mean over points and "
     "over their numbers; yours is over the points alone"),
    (_slip(at=1), "each step is run again where it ended; it begins one place earlier"),
    (_slip(level=1), "each step is run again at the level where it ended, not where it began"),
    (_slip(early=True), "the gradient of x is carried through a step before the parameters use it; "
     "they need the one that comes from behind the step"),
    (_slip(forwards=True), "the steps are gone through from the first to the last; the gradient "
     "comes from the end"),
    (_slip(only=-1), "that is the last step's share; every step uses the same parameters"),
    (_slip(only=0), "that is the first step's share; every step uses the same parameters"),
    (_slip(average=True), "the shares of the steps add up; yours are averaged"),
]  # fmt: skip
