"""What a language model looks at while it reads: its attention, drawn and under sliders."""

import html

import ipywidgets
import matplotlib.pyplot as plt

from ..heat_maps import shade
from ..panel import Panel
from ..show import PALETTE, Shown, figure

SPELLED = {"\n": "↵", "<|im_start|>": "‹start›", "<|im_end|>": "‹end›"}
FAINTEST = 0.02  # a share of attention below this is left blank


def spelled(token: str) -> str:
    """A token as it can be printed: line ends and marks of the chat get a sign of their own."""
    return SPELLED.get(token) or token.strip() or "␣"


def last_token(tokens: list[str], maps, cut: int, alt: str) -> Shown:
    """maps (L, H, T, T) -> one row for each head: how it shares the last token's attention

    A line stands before token `cut`, the first whose state is kept.
    """
    L, H, T, _ = maps.shape
    fig, ax = plt.subplots(figsize=(11.5, 0.24 * L * H + 1.2))
    ax.imshow(maps[:, :, -1].reshape(L * H, T), cmap=shade("text"), vmin=0, vmax=1, aspect="auto")
    ax.axvline(cut - 0.5, color=PALETTE["wrong"], linewidth=2)
    for layer in range(1, L):
        ax.axhline(layer * H - 0.5, color=PALETTE["noise"], linewidth=1)
    names = [f"layer {layer}, head {head}" for layer in range(L) for head in range(H)]
    ax.set_yticks(range(L * H), names, fontsize=7)
    ax.set_xticks(range(T), map(spelled, tokens), rotation=90, fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure(fig, alt)


def every_head(maps, cut: int, alt: str) -> Shown:
    """maps (L, H, T, T) -> a small picture for each head: who reads (down) what (across)

    Lines stand before token `cut`, the first whose state is kept.
    """
    L, H, T, _ = maps.shape
    fig, axes = plt.subplots(L, H, figsize=(2.2 * H, 2.3 * L), layout="constrained", squeeze=False)
    for layer in range(L):
        for head in range(H):
            ax = axes[layer, head]
            ax.imshow(maps[layer, head], cmap=shade("text"), vmin=0, vmax=1)
            for line in (ax.axvline, ax.axhline):
                line(cut - 0.5, color=PALETTE["wrong"], linewidth=0.8)
            ax.set_title(f"layer {layer}, head {head}", fontsize=9)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_color(PALETTE["noise"])
    return figure(fig, alt)


def strip(tokens: list[str], shares) -> str:
    """Tokens as HTML, each on a ground as blue as its share (0 to 1) of the attention"""
    red, green, blue = (int(PALETTE["text"][i : i + 2], 16) for i in (1, 3, 5))
    words = []
    for token, share in zip(tokens, shares):
        ground = f"rgba({red},{green},{blue},{share if share >= FAINTEST else 0:.2f})"
        ink = PALETTE["paper"] if share > 0.5 else PALETTE["ink"]
        style = f"background:{ground};color:{ink};padding:1px 3px"
        words.append(f'<span style="{style}">{html.escape(spelled(token))}</span>')
    return " ".join(words)


class TextAttentionSliders(Panel):
    """Sliders for layer and query token; `strips.value` holds a strip of tokens for each head."""

    summary = "sliders for layer and token over the words it reads; run the notebook to move"

    def __init__(self, tokens: list[str], maps):
        self.tokens, self.maps = tokens, maps
        L, _, T, _ = maps.shape
        self.layer = ipywidgets.IntSlider(L - 2, 0, L - 1, description="layer")
        self.token = ipywidgets.IntSlider(T - 1, 0, T - 1, description="token")
        self.strips = ipywidgets.HTML()
        super().__init__([self.layer, self.token], [self.strips])

    def state(self, layer: int, token: int) -> tuple[str]:
        lines = [f"<b>{html.escape(spelled(self.tokens[token]))}</b> reads:"]
        for head, shares in enumerate(self.maps[layer, :, token].tolist()):
            lines.append(f"head {head}: {strip(self.tokens[: token + 1], shares)}")
        return ("<br>".join(lines),)
