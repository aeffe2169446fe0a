"""How errors grow through sixty blocks, drawn from data/measurements/depth.json.

python -m qwenimage_ref.course.figures.error_growth     draws data/pictures/depth.png anew
"""

import json

import matplotlib.pyplot as plt

from ...files import whole_file
from ...repository import in_a_clone
from ..show import PALETTE, ROOT, Shown, data_file, figure

FILE = ROOT / "data" / "pictures" / "depth.png"
STREAMS = {"txt": ("text", "text", 3.5), "img": ("image", "image", 1.5)}  # name, colour, width
FLOOR = 2e-8  # where zero is drawn: below the last bit of a float32
STYLES = {
    "bf16 ours from float32": "-",
    "float32 last bit": "--",
    "float32 free": ":",
    "bf16 free": ":",
}


def growth() -> Shown:
    """The error of both streams behind each block, relative to their size."""
    record = json.loads(data_file("measurements/depth.json").read_text(encoding="utf-8"))
    depth = len(record["size"]["img"]["rms"])
    bf16 = record["bf16 ours from float32"]["img"]["rms"][-1]
    ours = max(largest(record, kind) for kind in ("float32 free", "bf16 free"))
    fig, ax = plt.subplots(figsize=(8, 4.6))
    for stream, (name, colour, width) in STREAMS.items():
        ax.plot([], color=PALETTE[colour], lw=width, label=f"{name} stream")
        for kind, style in STYLES.items():
            errors = [max(error, FLOOR) for error in record[kind][stream]["rms"]]
            ax.plot(range(1, depth + 1), errors, style, color=PALETTE[colour], lw=width)
    last_bit = record["float32 last bit"]["img"]["rms"][-1]
    for height, label in (
        (bf16, "bf16 beside float32"),
        (last_bit, "float32, other last bits before every block"),
        (FLOOR, f"ours beside diffusers', in float32 and in bf16: {ours:.2g} (zero is drawn here)"),
    ):
        ax.text(depth, 1.6 * height, label, ha="right", color=PALETTE["ink"])
    ax.set(xlabel="block", ylabel="rms error / rms of the stream", yscale="log")
    ax.set_ylim(FLOOR / 2, 0.2)
    ax.set_title(
        f"After {depth} blocks bf16 is {bf16:.1%} away from float32; "
        f"ours and diffusers' differ by {ours:.2g}"
    )
    ax.legend(loc="center right")
    ax.spines[["top", "right"]].set_visible(False)
    return figure(
        fig,
        f"Errors over {depth} blocks on a logarithmic scale: that of bf16 rises to {bf16:.1%}, "
        f"that of changed last bits stays far below; ours and diffusers' differ by {ours:.2g}.",
    )


def largest(record: dict, kind: str) -> float:
    """The largest absolute difference of a comparison, in either stream behind any block."""
    return max(max(record[kind][stream]["max"]) for stream in STREAMS)


@in_a_clone
def main() -> None:
    with whole_file(FILE) as partial:
        partial.write_bytes(growth().data)


if __name__ == "__main__":
    main()
