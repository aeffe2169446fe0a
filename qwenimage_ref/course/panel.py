"""The base of every interactive figure: controls above what they change.

Built from `observe` and the values of plain widgets: a saved notebook then holds nothing that
differs from run to run.
"""

import ipywidgets

BUSY = "computing …"  # what a panel's words say meanwhile


class Panel(ipywidgets.VBox):
    """Controls over outputs; `state(*values)` of a subclass says what the outputs hold.

    Each state is computed once. An output whose value is None in a state stays as it is.
    """

    summary = ""  # what stands where no widget can be: on GitHub, in print

    def __init__(self, controls: list, outputs: list, children: list | None = None):
        """children: what is laid out, if not the controls and then the outputs."""
        self._controls, self._outputs = list(controls), list(outputs)
        self._states: dict[tuple, tuple] = {}
        for control in self._controls:
            control.observe(self._update, "value")
        super().__init__(children or [*controls, *outputs])
        self._update()

    def state(self, *values) -> tuple:
        """Values of the controls, in their order -> values of the outputs, in theirs."""
        raise NotImplementedError

    def _update(self, _change=None) -> None:
        values = tuple(control.value for control in self._controls)
        if values not in self._states:
            self._states[values] = self._computed(values)
        for output, value in zip(self._outputs, self._states[values]):
            if value is not None:
                output.value = value

    def _computed(self, values: tuple) -> tuple:
        """The state for values of the controls; while it is computed, the words say so."""
        words = {
            output: output.value for output in self._outputs if isinstance(output, ipywidgets.Label)
        }
        for output in words:
            output.value = BUSY
        try:
            return self.state(*values)
        finally:
            for output, before in words.items():
                output.value = before

    def __repr__(self) -> str:
        return self.summary


def slider(name: str, options, value) -> ipywidgets.SelectionSlider:
    """A slider over a few values."""
    # careful: not while dragging; every value passed on the way would be computed
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=name, continuous_update=False
    )


def picture_box(width: int | None = 256, height: int | None = 256) -> ipywidgets.Image:
    """An empty place for a PNG, in pixels; None: as large as the picture, or in proportion."""
    sides = {"width": width, "height": height}
    return ipywidgets.Image(
        format="png", **{name: side for name, side in sides.items() if side is not None}
    )
