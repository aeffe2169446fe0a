"""The tabs of the page, one a task: their fields, and what they add to a command."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from . import wishes
from .history import History

SOURCES = ["upload", "clipboard"]  # no camera: this page asks for no rights


@dataclass(frozen=True)
class Tab:
    name: str
    title: str
    verb: str  # on its button
    build: Callable[[], dict]  # -> {name: component}, made inside the tab
    arguments: Callable[[dict, History], list[str]]
    task: str = "paint"


def of(abilities: dict, offers: dict) -> list[Tab]:
    """The tabs for weights that can do this, with what the server offers beside them"""
    kind = abilities["kind"]
    if kind == "layers":
        return [Tab("layers", "Take apart", "Take apart", _layers, _taken_apart, "layers")]
    if kind == "edit":
        most = abilities["pictures"]
        return [
            Tab("edit", "Edit", "Edit", lambda: _pictures(most), _edit),
            Tab("mask", "Edit inside a mask", "Edit", lambda: _mask(1.0), _inside_mask),
        ]
    first = [
        Tab("paint", "Paint", "Paint", dict, _paint),
        Tab("image", "From a picture", "Paint over it", _over, _over_picture),
        Tab("mask", "Inside a mask", "Paint inside", lambda: _mask(0.8), _inside_mask),
    ]
    if offers["lora"]:  # regions mean nothing to weights that have not learned them
        sizes = wishes.sizes_of(abilities)
        first.append(Tab("regions", "Regions", "Paint", lambda: _regions(sizes), _in_regions))
    nets = offers["control"] + ([wishes.IN_CONTEXT] if offers["lora"] else [])
    if nets:
        first.append(Tab("control", "Control", "Paint", lambda: _control(nets), _controlled))
    return first


# -- fields


def _picture(label: str = "Picture") -> gr.Image:
    return gr.Image(
        type="filepath", image_mode=None, sources=SOURCES, label=label, height=280, buttons=[]
    )


def _strength(value: float) -> gr.Slider:
    about = "Strength: how much may change"
    return gr.Slider(0.05, 1, value=value, step=0.05, label=about)


def _over() -> dict:
    return {"picture": _picture(), "strength": _strength(0.6)}


def _pictures(most: int) -> dict:
    names = ["Picture"] if most == 1 else [f"Picture {number + 1}" for number in range(most)]
    with gr.Row():
        return {f"picture {number}": _picture(name) for number, name in enumerate(names)}


def _editor(colours: list[str], label: str, **options) -> gr.ImageEditor:
    brush = gr.Brush(colors=colours, default_color=colours[0], color_mode="fixed")
    return gr.ImageEditor(
        type="pil", label=label, sources=SOURCES, brush=brush, layers=False, transforms=(),
        height=420, buttons=[], **options,
    )  # fmt: skip


def _mask(strength: float) -> dict:
    editor = _editor(["#ffffff"], "Picture and mask", elem_id="mask")
    crop = gr.Checkbox(False, label="Paint only its surroundings, at full size")
    return {"editor": editor, "strength": _strength(strength), "crop": crop}


def _regions(sizes: dict[str, str]) -> dict:
    width, height = map(int, next(iter(sizes.values())).split("x"))
    canvas = {"canvas_size": (width, height), "fixed_canvas": True}
    editor = _editor(list(wishes.REGION_COLOURS.values()), "What is where", **canvas)
    prompts = {
        f"region {name}": gr.Textbox(label=f"What is {name}", lines=1)
        for name in wishes.REGION_COLOURS
    }
    return {"editor": editor} | prompts


def _control(nets: list[str]) -> dict:
    net = gr.Dropdown(wishes.named(nets), value=nets[0], label="Control network")
    picture = _picture("Edges, depth or a pose")
    with gr.Row():
        scale = gr.Slider(0, 2, value=1, step=0.05, label="Strength")
        start = gr.Slider(0, 1, value=0, step=0.05, label="From")
        end = gr.Slider(0, 1, value=1, step=0.05, label="to this share of the steps")
    return {"net": net, "picture": picture, "scale": scale, "start": start, "end": end}


def _layers() -> dict:
    return {
        "picture": _picture(),
        "layers": gr.Slider(1, 10, value=4, step=1, label="Layers"),
    }


# -- arguments


def _said(wish: dict) -> list[str]:
    return ["--", wish["prompt"]]


def _paint(wish: dict, history: History) -> list[str]:
    return [*wishes.painting(wish), f"--size={wish['size']}", *_said(wish)]


def _over_picture(wish: dict, history: History) -> list[str]:
    wish["pictures"] = [wish["picture"]]
    return [*wishes.painting(wish), *wishes.over_picture(wish, history), *_said(wish)]


def _edit(wish: dict, history: History) -> list[str]:
    wish["pictures"] = [value for name, value in wish.items() if name.startswith("picture ")]
    return [*wishes.painting(wish), *wishes.over_picture(wish, history), *_said(wish)]


def _inside_mask(wish: dict, history: History) -> list[str]:
    return [*wishes.painting(wish), *wishes.inside_mask(wish, history), *_said(wish)]


def _in_regions(wish: dict, history: History) -> list[str]:
    wish["regions"] = {
        name: (wish[f"region {name}"] or "").strip() for name in wishes.REGION_COLOURS
    }
    regions = wishes.in_regions(wish, history)
    return [*wishes.painting(wish), f"--size={wish['size']}", *regions, *_said(wish)]


def _controlled(wish: dict, history: History) -> list[str]:
    wish["pictures"] = [wish["picture"]]
    return [*wishes.painting(wish), *wishes.controlled(wish, history), *_said(wish)]


def _taken_apart(wish: dict, history: History) -> list[str]:
    wish["pictures"] = [wish["picture"]]
    return wishes.taken_apart(wish, history)
