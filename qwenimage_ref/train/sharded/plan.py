"""What training over several processes takes: bytes in each, and seconds of a step, by formulas.

Nothing is loaded: a network on the meta device is counted. Seconds follow from two rates that can
be measured: the operations a second of one block, and the bytes a second between two processes.
"""

from dataclasses import dataclass
from functools import cached_property

from ...config import MMDiTConfig
from ..memory import network_parameters
from ..recompute import activation_bytes

FLOAT32 = 4  # bytes of a number
KEPT = 5  # float32 numbers of a trained weight: itself, its gradient, two moments, its average


@dataclass(frozen=True)
class Plan:
    """One job. Raises ValueError for a batch that the processes cannot share."""

    config: MMDiTConfig
    processes: int
    batch: int  # pictures a step, of all processes
    image_tokens: int  # in a picture
    text_tokens: int
    adapter: int = 0  # parameters of the adapter that is trained; 0: every weight is
    recompute: bool = True
    itemsize: int = 2  # bytes of a number of a gathered weight and of an activation
    keep_gathered: bool = False  # weights stay gathered from the forward to the backward pass

    def __post_init__(self):
        if self.processes < 1:
            raise ValueError(f"processes must be at least 1, got {self.processes}")
        if self.batch % self.processes:
            raise ValueError(
                f"batch must be a multiple of the {self.processes} processes, got {self.batch}"
            )

    @cached_property
    def parameters(self) -> tuple[int, int, int]:
        """Of the network, of one block, and of all that is outside the blocks"""
        total, block = network_parameters(self.config)
        return total, block, total - self.config.num_layers * block

    @property
    def pictures(self) -> int:
        """In a process and step"""
        return self.batch // self.processes

    def memory(self) -> dict[str, int]:
        """Bytes that a process holds at once, by part"""
        total, block, rest = self.parameters
        tokens = self.pictures * self.image_tokens, self.pictures * self.text_tokens
        between, inside = activation_bytes(self.config, self.itemsize, *tokens)
        if not self.recompute:
            between, inside = 0, self.config.num_layers * inside
        own = {"its share of weights, gradients, moments, average": KEPT * FLOAT32 * total}
        if self.adapter:
            own = {"its share of the base": self.itemsize * total}
        parts = {name: -(-size // self.processes) for name, size in own.items()}
        if self.adapter:
            parts["adapter, gradients, moments, average"] = KEPT * FLOAT32 * self.adapter
        # one block computes while the next one is gathered; what is outside stays gathered
        gathered = total if self.keep_gathered else 2 * block + rest
        parts["gathered weights"] = self.itemsize * gathered
        if not self.adapter:
            parts["gradients of a block, summed"] = (self.itemsize + FLOAT32) * block
        return parts | {"between blocks": between, "inside a block": inside}

    def operations(self) -> int:
        """Multiplications and additions of a process in a step, of matrix products alone

        Backward takes twice the forward pass, once where the weights are frozen; a recomputed block
        runs forward once more.
        """
        forward = block_operations(self.config.inner_dim, self.image_tokens, self.text_tokens)
        passes = 1 + (1 if self.adapter else 2) + self.recompute
        return passes * self.config.num_layers * self.pictures * forward

    def traffic(self) -> int:
        """Bytes that a process receives in a step

        Weights are gathered for the forward pass and, unless kept, for the backward pass; gradients
        are summed.
        """
        total, _, _ = self.parameters
        gathered = (1 if self.keep_gathered else 2) * self.itemsize * total
        summed = FLOAT32 * (2 * self.adapter if self.adapter else total)
        return (gathered + summed) * (self.processes - 1) // self.processes

    def seconds(self, rate: float, link: float) -> float:
        """Of a step, at operations and bytes a second; the next block is gathered meanwhile."""
        return max(self.operations() / rate, self.traffic() / link)


def block_operations(width: int, image_tokens: int, text_tokens: int) -> int:
    """Of one block's forward pass of one picture, as torch's FlopCounterMode counts them

    Each token passes 12 D^2 weights, the time vector as many, and S tokens attend to S.
    """
    S = image_tokens + text_tokens
    return 24 * width**2 * (S + 1) + 4 * S**2 * width
