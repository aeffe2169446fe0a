"""Chapter 11: gallery of wrong answers."""

import contextlib

import torch
from torch import nn

from ..answers import EX_11_DIAGNOSE
from ..bugs.quiz import CAUSES
from .common import exercise, need, numbers

LOOK_AT = (
    "the edges are where they belong, the colours are not; what treats each of the 16 latent "
    "channels by itself, after the last step?",
    "the paper is clean, but a shape is in pieces and the word has letters too many; it was "
    "painted well, so what was read?",
    "the paper has its colour, so the prompt has arrived; nothing knows where it belongs",
    "the outlines are there, and every cell of 16 pixels has the same dirt; what happens to each "
    "token alone, behind the last block?",
    "all is clean, and both shapes are there; only their places are exchanged. What counts places "
    "that hold nothing?",
)
UNLIKE = {  # (picture, cause that it resembles): what tells them apart
    (1, "frame axis averaged"): "that makes colours pale; these are strong, only not theirs",
    (1, "shift before scale"): "that leaves dirt in every cell of the paper; this paper is clean",
    (2, "padding counted"): "that leaves every shape whole; here one is in pieces",
    (3, "velocity sign"): "that ends in more noise than it began with; this paper is calm",
    (4, "packed p-p-c"): "that loses the outlines, too; here you can still see them",
    (4, "statistics inverted"): "that leaves the paper clean; this one has dirt in every cell",
    (5, "odd grid"): "this picture has 8 x 8 tokens; which grids does that bug need?",
    (5, "grid not centred"): "that loses or doubles a shape; here each is there once",
    (5, "text starts at 0"): "that loses or doubles a shape; here each is there once",
    (5, "cut at 35"): "that leaves the shapes where they belong; compare with the prompt",
}


@exercise
def ex_11_diagnose(causes) -> str:
    """The cause of each of the five sick pictures, in their order."""
    need(
        isinstance(causes, list | tuple) and all(isinstance(cause, str) for cause in causes),
        "the answer is a list of five names, each in quotes",
    )
    need(len(causes) == 5, f"{len(causes)} names for five pictures")
    for place, cause in enumerate(causes, 1):
        need(cause in CAUSES, f"number {place} is no name on the wall; mind the spelling")
    need(len(set(causes)) == 5, "the same cause twice; each picture has a cause of its own")
    wrong = [i for i, (one, other) in enumerate(zip(causes, EX_11_DIAGNOSE)) if one != other]
    if wrong:
        which = ", ".join(str(i + 1) for i in wrong)
        first = wrong[0] + 1
        hint = UNLIKE.get((first, causes[first - 1]), LOOK_AT[first - 1])
        need(False, f"{5 - len(wrong)} of 5 right, not yet: {which}. Picture {first}: {hint}")
    return "five pictures, five causes"


# --- rules in the place of a right answer

_RULES = ("rows", "padding", "prompt")


def _velocity(
    batch=0.0, attended=0.0, inverted=False, unread=False, unread_if_padded=False, shared=False,
    digits=0.0, lift=0.0, level=0.0, silent=False,
):  # fmt: skip
    """A network in miniature, (B, I, C), (B, T, D), (B, T) -> (B, I, C), that may break rules.

    batch, attended: how much of the batch's mean, of the padded states, gets into the velocity.
    digits: relative change of a row in a batch, as another order of sums makes it; lift: absolute
    change. level: added to every velocity.
    """

    def velocity(x, txt, mask):
        weights = (~mask if inverted else mask).float()
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        state = ((weights + attended * (~mask).float()).unsqueeze(-1) * txt).sum(1)
        if unread_if_padded:
            state = state * mask.all(1, keepdim=True)
        state = state[:1].expand_as(state) if shared else state * (not unread)
        out = 1.3 * x + (state @ numbers(txt.shape[2], x.shape[2], seed=3)).unsqueeze(1)
        out = out + batch * out.mean(0, keepdim=True) + level
        return (out * (1 + digits * (len(x) > 1)) + lift * (len(x) > 1)) * (not silent)

    return velocity


_NETWORKS = (  # options, tolerance, the rules that are broken, and what to think of
    ({}, 1e-4, set(), "a network that keeps all three rules"),
    (
        {"digits": 1e-6}, 1e-4, set(),
        "a network whose rows differ in their last digits alone; a tolerance counts relative to "
        "the largest number",
    ),
    (
        {"digits": 1e-5, "level": -50.0}, 1e-4, set(),
        "a network whose velocities are all near -50; a tolerance counts relative to the largest "
        "absolute number",
    ),
    (
        {"batch": 0.3}, 1e-4, {"rows"},
        "a network that mixes in the mean of the batch, which does not depend on the order of the "
        "rows; compute each row alone",
    ),
    ({"digits": 1e-3}, 1e-4, {"rows"}, "a network whose rows differ by a thousandth in a batch"),
    ({"digits": 1e-3}, 1e-2, set(), "the same, where a hundredth is tolerated"),
    ({"lift": 0.2}, 1e-4, {"rows"}, "a network whose rows are all larger in a batch"),
    ({"lift": -0.2}, 1e-4, {"rows"}, "a network whose rows are all smaller in a batch"),
    ({"silent": True}, 1e-4, {"prompt"}, "a network that gives zeros and nothing else"),
    ({"shared": True}, 1e-4, {"rows"}, "a network that uses the first row's prompt for all rows"),
    (
        {"attended": 0.3}, 1e-4, {"padding"},
        "a network that attends to padding; what is in the padded states must not matter",
    ),
    (
        {"attended": 1e-3}, 0.05, set(),
        "a network that attends to padding a little, where a twentieth is tolerated",
    ),
    (
        {"inverted": True}, 1e-4, {"padding", "prompt"},
        "a network that takes the mask the other way round, so that it reads nothing but padding",
    ),
    ({"unread": True}, 1e-4, {"prompt"}, "a network that does not read its prompt"),
    (
        {"unread_if_padded": True}, 1e-4, {"prompt"},
        "a network that does not read the prompt of some of its rows; look at each row",
    ),
    (
        {"batch": 0.2, "attended": 0.3}, 1e-4, {"rows", "padding"},
        "a network that mixes rows and attends to padding; name every rule that is broken",
    ),
)  # fmt: skip


@exercise
def ex_11_rules(broken_rules) -> str:
    """broken_rules(velocity, x (B, I, C), txt (B, T, D), mask (B, T), tolerance) -> set of names"""
    x, txt = numbers(3, 6, 4, seed=1), numbers(3, 5, 7, seed=2)
    mask = torch.arange(5) < torch.tensor([[5], [3], [2]])
    for options, tolerance, right, about in _NETWORKS:
        given = broken_rules(_velocity(**options), x, txt, mask, tolerance)
        need(
            isinstance(given, set) and given <= {*_RULES},
            f"give a set of names out of {', '.join(_RULES)}, not {given!r}; a set() without names "
            "if no rule is broken",
        )
        more, less = sorted(given - right), sorted(right - given)
        need(not less, f"{about}: {', '.join(less)} is broken, and you do not say so")
        need(not more, f"{about}: {', '.join(more)} is not broken, and you say so")
    whole = torch.ones(2, 5, dtype=torch.bool)
    given = broken_rules(_velocity(attended=0.3), x[:2], txt[:2], whole, 1e-4)
    need(given == set(), "where nothing is padded, padding cannot be attended")
    return "three rules, and no right answer needed"


# --- the first wrong number


class _Split(nn.Module):
    """Two outputs of one input; `change` is a factor of the second."""

    def __init__(self):
        super().__init__()
        self.right, self.left = nn.Linear(7, 7), nn.Linear(7, 7)
        self.change = 1.0

    def forward(self, x):
        return self.left(x), self.right(x) * self.change


class _Network(nn.Module):
    """Modules in another order than they are called in; one twice; an operation in place."""

    def __init__(self):
        super().__init__()
        self.last, self.norm, self.split = nn.Linear(7, 3), nn.LayerNorm(7), _Split()
        self.twice, self.first = nn.Linear(7, 7), nn.Linear(5, 7)
        self.middle = nn.Sequential(nn.Linear(7, 7), nn.Tanh())
        self.change = {"middle": 1.0, "end": 1.0, "lift": -40.0, "norm": True}
        self.calls = []  # whether a bug was in, for each call
        for seed, weight in enumerate(self.parameters()):
            weight.data = numbers(*weight.shape, seed=seed)
        self.first.bias.data.zero_()

    def forward(self, x, y):
        change = self.change
        self.calls.append(change.get("bug", False))
        x = self.twice(self.first(x) + self.first(0 * x) + y)
        x = self.twice(self.middle(x * change["middle"]))
        left, right = self.split(x)
        out = self.last((self.norm(left) if change["norm"] else left) + right)
        return out.mul_(change["end"]) + change["lift"]


@contextlib.contextmanager
def _planted(network, **changes):
    """While entered, the network computes with these changes."""
    before = dict(network.change)
    network.change.update(changes, bug=True)
    network.split.change = changes.get("second", 1.0)
    yield
    network.change.clear()
    network.change.update(before)
    network.split.change = 1.0


_PLANTED = (  # changes, tolerance, factor of the inputs, the first wrong module, what to think of
    (
        {"middle": 1.5}, 1e-5, 1, "middle.0",
        "modules are compared in the order in which they return, a module after those inside it, "
        "and every call of a module for itself",
    ),
    ({}, 1e-5, 1, None, "both runs agree, so there is no such module"),
    ({"middle": 1 + 3e-7}, 1e-5, 1, None, "they differ in their last digits alone; a tolerance "
     "counts relative to the largest number"),
    ({"middle": 1 + 1e-3}, 1e-2, 1, None, "they differ by less than is tolerated"),
    (
        {"second": 1 + 1e-6}, 1e-5, 1e6, None,
        "the numbers are large, and so is their rounding; a difference counts relative to them",
    ),
    (
        {"second": 0.5}, 1e-5, 1, "split",
        "this module returns a tuple, of which the second tensor is wrong; compare each of them",
    ),
    (
        {"norm": False}, 1e-5, 1, "last",
        "the run with the bug leaves a module out, and all later ones move up; find each call by "
        "the module's name and its number",
    ),
    (
        {"end": 2.0}, 1e-5, 1, "",
        "what this module returned was right, and was changed in place later; keep copies",
    ),
    ({"lift": -4.0}, 1e-5, 1, "", "all modules inside are right, and the network itself is not"),
    ({"lift": -90.0}, 1e-5, 1, "", "the network returns smaller numbers; differences have a sign"),
    (
        {"lift": -40.0001}, 1e-5, 1, None,
        "the numbers are all near -40; a difference counts relative to the largest absolute one",
    ),
    (
        {"middle": float("nan")}, 1e-5, 1, "middle.0",
        "what is not a number is neither larger nor smaller than the tolerance",
    ),
)  # fmt: skip


@exercise
def ex_11_first(first_wrong) -> str:
    """first_wrong(network, inputs, bug, tolerance) -> name of a module, or None"""
    for changes, tolerance, factor, right, about in _PLANTED:
        network = _Network()
        inputs = (factor * numbers(4, 5, seed=1), factor * numbers(4, 7, seed=2))
        given = first_wrong(network, inputs, _planted(network, **changes), tolerance)
        need(
            network.calls == [False, True],
            f"the network is to be called once without the bug and then once with it, not "
            f"{' and '.join('with' if bug else 'without' for bug in network.calls) or 'never'}",
        )
        left = sum(len(module._forward_hooks) for module in network.modules())
        need(not left, f"{left} hooks are still on the network; what you attach, take off again")
        need(
            given is None or isinstance(given, str),
            f"give the name of a module or None, not {given!r}",
        )
        need(
            given == right or given != "middle.1",
            f"you say {given!r} for every bug? A function that is made in a loop looks its "
            "variables up when it is called, and then all have the last name",
        )
        need(given == right, f"the first wrong module is not {given!r}: {about}")
    return "the place where the numbers first differ"
