"""Operations of layers, counted rightly and wrongly, and a network to count them in."""

import contextlib
from collections import Counter

from torch import nn


class Net(nn.Module):
    """Linear layers and convolutions of all kinds, in each other, twice, and not at all."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.stack = nn.Sequential(nn.Sequential(nn.Linear(6, 7, bias=False), nn.GELU()))
        self.twice = nn.Linear(7, 7)
        self.unused = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(7)
        self.down = nn.Conv2d(2, 6, (3, 2), stride=(2, 1), padding=1)
        self.groups = nn.ModuleDict({"conv": nn.Conv2d(6, 9, (1, 3), groups=3)})
        self.passes = 0

    def forward(self, x, picture):
        """(B, S, 5), (B, 2, H, W) -> (B, S, 7), (B, 9, h, w)"""
        self.passes += 1
        x = self.norm(self.twice(self.stack(self.embed(x))))
        return x + self.twice(x[:, :2]).mean(1, True), self.groups["conv"](self.down(picture))


def per_output(layer, given, output) -> int:
    inner = layer.weight.numel() // len(layer.weight)
    return 2 * output.numel() * inner


def tally(rule, last=False):
    """A counter by a rule of a layer, its input and its output. last: only the last call counts."""

    def count(net, *inputs) -> dict:
        flops, layers = Counter(), {m: name for name, m in net.named_modules()}

        def hook(layer, given, output):
            flops[layers[layer]] = rule(layer, *given, output) + (
                0 if last else flops[layers[layer]]
            )

        kinds = (nn.Linear, nn.Conv2d)
        with contextlib.ExitStack() as stack:
            for layer in layers:
                if isinstance(layer, kinds):
                    stack.callback(layer.register_forward_hook(hook).remove)
            net(*inputs)
        return dict(flops)

    return count


def _kernel(layer) -> int:
    return layer.weight[0, 0].numel() if isinstance(layer, nn.Conv2d) else 1


def _of_input(layer, given, output) -> int:
    """As many places as the input has."""
    places = given[:, 0].numel() if isinstance(layer, nn.Conv2d) else given[..., 0].numel()
    return 2 * places * layer.weight.numel()


def _ungrouped(layer, given, output) -> int:
    return per_output(layer, given, output) * getattr(layer, "groups", 1)


def _square(layer, given, output) -> int:
    if isinstance(layer, nn.Linear):
        return per_output(layer, given, output)
    return 2 * output.numel() * layer.weight.shape[1] * layer.kernel_size[0] ** 2


def _one_axis(layer, given, output) -> int:
    """Rows counted along the second axis alone, for linear layers; right for convolutions."""
    if isinstance(layer, nn.Conv2d):
        return per_output(layer, given, output)
    return 2 * output.shape[1] * layer.weight.numel()


MISTAKES = [
    (tally(lambda layer, x, y: per_output(layer, x, y) // 2),
     "a multiplication and an addition are two operations"),
    (tally(lambda layer, x, y: 2 * layer.weight.numel()),
     "that is two operations for each weight; a weight is used for every token, and at every place "
     "of a picture"),
    (tally(lambda layer, x, y: layer.weight.numel()), "those are the weights, not the operations"),
    (tally(lambda layer, x, y: per_output(layer, x, y) // len(y)),
     "that is one picture of the batch; all of them are computed"),
    (tally(_one_axis), "the rows of a linear layer may lie along several axes, the batch among "
     "them; all of them count"),
    (tally(per_output, last=True),
     "the layer 'twice' runs twice, and yours keeps the last pass alone: add it to what is there"),
    (tally(lambda layer, x, y: per_output(layer, x, y)
            + (y.numel() if layer.bias is not None else 0)),
     "the biases are counted too; only products with weights count"),
    (tally(lambda layer, x, y: per_output(layer, x, y) // _kernel(layer)),
     "a convolution takes a product for every place of its kernel; yours counts one of them"),
    (tally(_of_input), "yours counts the places of a convolution's input; with a stride, or "
     "without padding, its output has fewer"),
    (tally(_ungrouped), "with groups, a number of the output depends on the channels of its own "
     "group only"),
    (tally(_square), "the kernel is not a square: its two sides are multiplied"),
]  # fmt: skip
