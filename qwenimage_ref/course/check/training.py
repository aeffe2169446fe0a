"""Chapter 12, what a training consists of: the loss of flow matching, and the loop."""

from types import SimpleNamespace

import torch
from torch import nn

from ..answers import EX_12_LOSS, EX_12_TRAIN
from .common import exercise, need, need_all, need_none

# ---- the loss


class _Network:
    """Stands in for the transformer: a velocity that depends on x, on sigma and on a weight."""

    def __init__(self, shape, seed=12):
        rng = torch.Generator().manual_seed(seed)
        self.data, self.noise = (torch.randn(shape, generator=rng) for _ in range(2))
        self.sigma = torch.rand(shape[0], generator=rng)
        self.weight = torch.tensor(0.7, requires_grad=True)
        self.calls = []

    def __call__(self, x, sigma):
        self.calls.append((x.detach().clone(), sigma.detach().clone()))
        return self.weight * torch.tanh(x) - sigma.view(-1, 1, 1, 1)

    def loss(self, answer):
        given = answer(self, self.data, self.noise, self.sigma)
        need(
            isinstance(given, torch.Tensor) and given.shape == (),
            "give one number, as a tensor of shape ()",
        )
        return given

    def mixed(self, level=None, turned=False):
        level = self.sigma.view(-1, 1, 1, 1) if level is None else level
        data, noise = (self.noise, self.data) if turned else (self.data, self.noise)
        return (1 - level) * data + level * noise

    def error(self, target, kind="squares"):
        with torch.no_grad():
            error = self(self.mixed(), self.sigma) - target
        return {"squares": error.pow(2), "sizes": error.abs()}[kind]


def _same(a, b) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, atol=1e-5)


MIXTURE = (  # what an answer called the network with
    (
        lambda net: len(net.calls) > 0,
        "the network is never asked for its velocity",
    ),
    (
        lambda net: not _same(net.calls[0][0], net.mixed(turned=True)),
        "data and noise have changed places: at sigma 0 x is the data, at sigma 1 the noise",
    ),
    (
        lambda net: not _same(net.calls[0][0], net.data),
        "the network is shown the clean data; it has to see the mixture",
    ),
    (
        lambda net: not _same(net.calls[0][0], net.mixed(net.sigma[0])),
        "all pictures are mixed with the level of the first; each has its own",
    ),
    (
        lambda net: _same(net.calls[0][0], net.mixed()),
        "the x that the network sees is not the mixture of the formula",
    ),
    (
        lambda net: _same(net.calls[0][1], net.sigma),
        "the network is given another sigma than the one of the mixture",
    ),
)
TARGETS = (  # wrong losses
    (
        lambda net: net.error(net.data - net.noise).mean(),
        "the target points from noise to data; velocity is noise - data, from sigma 0 to sigma 1",
    ),
    (
        lambda net: net.error(net.noise).mean(),
        "the target is the noise, as older diffusion models have it; here it is a velocity",
    ),
    (
        lambda net: net.error(net.data).mean(),
        "the target is the data; here it is a velocity",
    ),
    (
        lambda net: net.error(net.noise - net.data).sum(),
        "the squares are added up; take their mean, or the loss grows with the batch",
    ),
    (
        lambda net: net.error(net.noise - net.data).mean().sqrt(),
        "the root is one step too many: the mean of the squares is the loss",
    ),
    (
        lambda net: net.error(net.noise - net.data, "sizes").mean(),
        "those are the sizes of the errors; under a squared error the best answer is the mean",
    ),
)


@exercise
def ex_12_loss(flow_loss) -> str:
    """flow_loss(velocity_of, data, noise, sigma): the objective of flow matching."""
    for shape in ((3, 5, 4, 6), (1, 2, 3, 3), (4, 4, 4, 4)):
        net = _Network(shape)
        given = net.loss(flow_loss)
        if len(net.sigma) > 1:
            need_all(net, MIXTURE)
            need_none(given.detach(), TARGETS, _same, net)
        need(_same(given, EX_12_LOSS(net, net.data, net.noise, net.sigma)), "the loss is not right")
        need(given.requires_grad, "no gradient flows from your loss to the network")
    return "mixed, asked, compared with noise - data"


# ---- the loop


class _Problem:
    """Two weights and two optimisers whose losses need clipping at first, and not later."""

    def __init__(self, width=3, steps=6, keep=0.8):
        rng = torch.Generator().manual_seed(width)
        self.matrix = nn.Parameter(torch.randn(width, 2, generator=rng))
        self.bias = nn.Parameter(torch.randn(2, generator=rng))
        self.weights = [self.matrix, self.bias]
        self.start = [weight.detach().clone() for weight in self.weights]
        self.optimisers = [torch.optim.SGD([self.matrix], 0.1), torch.optim.AdamW([self.bias], 0.1)]
        self.x, self.y = (torch.randn(steps, n, generator=rng) for n in (width, 2))
        self.steps, self.keep, self.calls = steps, keep, []

    def set_rates(self, step):
        self.calls.append(("rates", step))
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = 0.05 * (step + 1)

    def loss_at(self, step):
        self.calls.append(("loss", step))
        scale = 30 if step < 2 else 0.1
        return scale * (self.x[step] @ self.matrix + self.bias - self.y[step]).pow(2).mean()

    def run(self, train) -> SimpleNamespace:
        given = train(
            self.weights, self.optimisers, self.set_rates, self.loss_at, self.steps, self.keep
        )
        need(
            isinstance(given, (tuple, list)) and len(given) == 2,
            "give two things: the list of losses, and the list of averaged weights",
        )
        losses, average = given
        return SimpleNamespace(
            problem=self,
            losses=losses,
            average=average,
            weights=[weight.detach().clone() for weight in self.weights],
        )


def _loop(weights, optimisers, set_rates, loss_at, steps, keep, slip=""):
    """The loop with a slip in it."""
    start = [weight.detach().clone() for weight in weights]
    average, losses = [0 * weight if slip == "from zero" else weight for weight in start], []
    for step in range(steps):
        if slip != "late rates":
            set_rates(step)
        loss = loss_at(step)
        loss.backward()
        losses.append(loss.item())
        if slip == "clipped alone":
            for weight in weights:
                nn.utils.clip_grad_norm_([weight], 1.0)
        elif slip not in ("unclipped", "clipped late"):
            nn.utils.clip_grad_norm_(weights, 1.0)
        followed = [weight.detach().clone() for weight in weights]
        for optimiser in optimisers[: 1 if slip == "one optimiser" else None]:
            optimiser.step()
        if slip == "late rates":
            set_rates(step)
        if slip != "piled up":
            for weight in weights:
                weight.grad = None
        if slip != "before the step":
            followed = [weight.detach().clone() for weight in weights]
        share = keep if slip == "turned" else 1 - keep
        average = [(1 - share) * slow + share * new for slow, new in zip(average, followed)]
    return losses, average


SLIPS = {  # slip of the weights: hint
    "piled up": "the gradients of earlier steps are added to those of later ones; clear them after "
    "each step",
    "unclipped": "the gradient is not clipped: its length, over all weights together, is at most 1",
    "clipped alone": "each weight's gradient is clipped on its own; its length is that of all "
    "weights together, or the direction changes",
    "one optimiser": "one of the optimisers never takes a step",
    "late rates": "the rates are set after the step that they are meant for",
}
AVERAGES = {  # slip of the average: hint
    "from zero": "the average starts at 0; it starts as a copy of the weights",
    "before the step": "the average follows the weights as they were before the step",
    "turned": "`keep` is the share of the old average, and 1 - keep that of the new weights",
}
CALLS = (
    (
        lambda seen: (
            [step for name, step in seen.problem.calls if name == "loss"]
            == [*range(seen.problem.steps)]
        ),
        "`loss_at` is to be called once for each step, with the numbers from 0 to steps - 1",
    ),
    (
        lambda seen: ("rates", 1) in seen.problem.calls,
        "`set_rates` is to be called at the beginning of each step, with its number",
    ),
    (
        lambda seen: (
            len(seen.losses) == seen.problem.steps
            and all(isinstance(loss, float) for loss in seen.losses)
        ),
        "keep each loss as a plain number, or the whole graph behind it stays in memory",
    ),
    (
        lambda seen: any(not torch.equal(a, b) for a, b in zip(seen.weights, seen.problem.start)),
        "the weights are as they were; an optimiser has to take a step",
    ),
)


def _all_same(a, b) -> bool:
    return len(a) == len(b) and all(_same(x.detach(), y.detach()) for x, y in zip(a, b))


@exercise
def ex_12_train(train) -> str:
    """train(weights, optimisers, set_rates, loss_at, steps, keep): losses and averaged weights."""
    for width, steps, keep in ((3, 6, 0.8), (5, 9, 0.6)):
        seen = _Problem(width, steps, keep).run(train)
        need_all(seen, CALLS)
        for slip, hint in SLIPS.items():
            wrong = _Problem(width, steps, keep).run(lambda *a, slip=slip: _loop(*a, slip=slip))
            need(not _all_same(seen.weights, wrong.weights), hint)
        right = _Problem(width, steps, keep).run(EX_12_TRAIN)
        need(_all_same(seen.weights, right.weights), "the weights end somewhere else")
        need(
            not _all_same(seen.average, seen.weights),
            "the average is the weights themselves; it needs memory of its own",
        )
        need(
            not any(slow.requires_grad for slow in seen.average),
            "the average hangs on the graph of all steps, which stays in memory; it needs no "
            "gradient",
        )
        for slip, hint in AVERAGES.items():
            wrong = _Problem(width, steps, keep).run(lambda *a, slip=slip: _loop(*a, slip=slip))
            need(not _all_same(seen.average, wrong.average), hint)
        need(_all_same(seen.average, right.average), "the average is not right")
        need(
            all(abs(a - b) < 1e-4 * max(1, abs(b)) for a, b in zip(seen.losses, right.losses)),
            "the losses are not those that were taken, one for each step",
        )
    return "rates, loss, gradient, clip, step, average"
