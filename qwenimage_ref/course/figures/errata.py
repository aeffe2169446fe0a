"""Claims that circulate beside the true values."""

import matplotlib.pyplot as plt

from ..show import PALETTE, Shown, figure


def linear_mu(image_tokens: int) -> float:
    """The formula that circulates: a line through 0 tokens and 8192, and its value is the shift."""
    return 0.5 + (0.9 - 0.5) * image_tokens / 8192


def lora_numbers(width: int, rank: int, blocks: int) -> int:
    """Numbers in a LoRA of the eight attention and four MLP linears of every block."""
    attention = 8 * rank * (width + width)
    mlp = 4 * rank * (width + 4 * width)
    return blocks * (attention + mlp)


def ratios(claims: dict[str, tuple[float, float]], alt: str) -> Shown:
    """{claim: (claimed, true)} -> a chart of claimed / true, logarithmic, 1 in the middle"""
    names = sorted(claims, key=lambda name: claims[name][0] / claims[name][1])
    fig, ax = plt.subplots(figsize=(8, 0.32 * len(names) + 0.9))
    for place, name in enumerate(names):
        claimed, true = claims[name]
        ax.plot([1, claimed / true], [place, place], color=PALETTE["noise"], linewidth=1)
        ax.plot(claimed / true, place, "o", color=PALETTE["wrong"])
        left = claimed < true
        text = f"{claimed / true:.2g}  " if left else f"  {claimed / true:.2g}"
        ax.text(
            claimed / true, place, text, va="center", ha="right" if left else "left", fontsize=9
        )
    ax.axvline(1, color=PALETTE["joint"], linewidth=2)
    ax.set_xscale("log")
    reach = 2 * max(max(claimed / true, true / claimed) for claimed, true in claims.values())
    ticks = [2.0**power for power in range(-9, 10) if 1 / reach < 2.0**power < reach]
    ax.set_xticks(ticks, [f"{tick:g}" if tick >= 1 else f"1/{1 / tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set(xlim=(1 / reach, reach), xlabel="claimed value divided by the true one")
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    return figure(fig, alt)
