"""Both networks of a pair, run layer by layer on the same inputs."""

from dataclasses import replace

import torch

from ..record import run_ours
from ..trace import Row, Trace, difference, trace
from .pairs import Pair


class LayerwiseRun:
    """Both networks on several inputs; each layer is loaded once for all of them.

    Each of our layers is traced on the reference's input. Beside that, our network runs free, on
    its own numbers from start to end.
    """

    def __init__(self, pair: Pair, calls: list[dict], tolerance: float):
        self.pair, self.calls, self.tolerance = pair, calls, tolerance
        # one dictionary for each call:
        self.shared: list[dict] = []  # the arguments that all layers of the reference share
        self.theirs: list[dict] = []  # the streams after the reference's latest layer
        self.ours: list[dict] = []  # the same of our network, running free

    def before_layers(self) -> list[Trace]:
        """Traces of the modules before the layers, and of the layers' arguments."""
        traces = []
        for inputs in self.calls:
            traced = trace(self.pair.ours, self.pair.theirs, inputs, self.tolerance)
            ours, theirs = (dict(probe.arguments) for probe in self.pair.probes)
            rows = [
                Row(name, tuple(tensor.shape), *difference(ours[name], tensor))
                for name, tensor in theirs.items()
            ]
            traces.append(replace(traced, rows=[*traced.rows[: self._middle(traced)], *rows]))
            streams = list(theirs)[: self.pair.streams]
            self.ours.append({name: ours[name] for name in streams})
            self.theirs.append({name: theirs.pop(name) for name in streams})
            self.shared.append(theirs)
        return traces

    def layer(self, i: int) -> list[Trace]:
        """Traces of layer i, whose outputs become the streams of both networks."""
        our_layer, their_layer = self.pair.layer(i)
        traces = []
        for shared, ours, theirs in zip(self.shared, self.ours, self.theirs):
            traced = trace(our_layer, their_layer, theirs | shared, self.tolerance)
            forced, answer = (dict(zip(theirs, tensors)) for tensors in traced.outputs)
            # while our streams equal the reference's to the bit, the traced run is the free run
            if all(torch.equal(ours[name], theirs[name]) for name in theirs):
                ours.update(forced)
            else:
                free = our_layer(**ours, **shared)
                ours.update(zip(ours, free if self.pair.streams > 1 else [free]))
            theirs.update(answer)
            traces.append(traced)
        return traces

    def after_layers(self) -> tuple[list[Trace], list[tuple[torch.Tensor, torch.Tensor]]]:
        """Traces of the modules after the layers; and for each call both outputs, ours free"""
        traces, outputs = [], []
        our_probe, their_probe = self.pair.probes
        for inputs, ours, theirs in zip(self.calls, self.ours, self.theirs):
            our_probe.streams = their_probe.streams = tuple(theirs.values())
            traced = trace(self.pair.ours, self.pair.theirs, inputs, self.tolerance)
            traces.append(replace(traced, rows=traced.rows[self._middle(traced) + 1 :]))
            our_probe.streams = tuple(ours.values())
            outputs.append((run_ours(self.pair.ours, inputs), traced.outputs[1][0]))
        return traces, outputs

    def _middle(self, traced: Trace) -> int:
        """The index of the row of the probe, where the layers are."""
        return [row.name for row in traced.rows].index(f"{self.pair.path}.0")
