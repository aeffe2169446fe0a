"""Drawings of the networks: nothing lies over anything else, and the files are what is drawn."""

import functools
import itertools
import math
import re
from pathlib import Path

import matplotlib
import pytest
import torch
from PIL import ImageFont

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.course.diagrams import __main__ as written
from qwenimage_ref.course.diagrams import adapters
from qwenimage_ref.course.diagrams.drawing import NAME, WIDTH
from qwenimage_ref.course.diagrams.sizes import pocket
from qwenimage_ref.course.publish import build
from qwenimage_ref.course.show import pocket_folder
from qwenimage_ref.evaluate.ablation_variants import VARIANTS
from qwenimage_ref.formats import gguf_blocks
from qwenimage_ref.sampler import pack
from qwenimage_ref.vision import Vision

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = {NAME: "DejaVuSans-Bold.ttf"}  # wider than what browsers take, so what fits here fits there
every_drawing = pytest.mark.parametrize("name", written.DRAWINGS)


@functools.cache
def font(size: int):
    return ImageFont.truetype(str(FONTS / FACES.get(size, "DejaVuSans.ttf")), size)


def length(label) -> float:
    return font(label.size).getlength(label.words)


def extent(label) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a label's letters."""
    width = length(label)
    left = label.x - {"start": 0, "middle": width / 2, "end": width}[label.anchor]
    return left, label.y - 0.75 * label.size, left + width, label.y + 1


def segments(drawing):
    for points in drawing.wires:
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            yield min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def overlap(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def around(box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def inside(label, box) -> bool:
    left, top, right, bottom = extent(label)
    return box.left <= left and right <= box.right and box.top <= top and bottom <= box.bottom


@every_drawing
def test_words_fit_into_their_boxes_and_the_drawing(name):
    for label in written.DRAWINGS[name]().labels:
        left, _, right, _ = extent(label)
        assert length(label) <= label.room, label.words
        assert 4 <= left and right <= WIDTH - 4, label.words


@every_drawing
def test_no_words_lie_over_others_or_over_a_wire_or_the_edge_of_a_box(name):
    drawing = written.DRAWINGS[name]()
    for a, b in itertools.combinations(drawing.labels, 2):
        assert not overlap(extent(a), extent(b)), (a.words, b.words)
    for label in drawing.labels:
        boxes = [box for box in drawing.boxes if overlap(extent(label), around(box))]
        assert all(inside(label, box) for box in boxes), label.words
        if not boxes:  # in a box, the box lies over the wire
            crossed = [wire for wire in segments(drawing) if overlap(extent(label), wire)]
            assert not crossed, (label.words, crossed)


@every_drawing
def test_no_box_lies_over_another(name):
    for a, b in itertools.combinations(written.DRAWINGS[name]().boxes, 2):
        assert not overlap(around(a), around(b)), (a, b)


# ---- shapes on the wires are those of a forward pass of the pocket model

SIZE = r"(?:\d )?\w+(?:/\d)?(?: [+-] \w+)?"
SHAPE = re.compile(rf"\(({SIZE}(?:, {SIZE})+)\)")


def drawn_shapes(drawing, **others) -> set[tuple]:
    """The shapes in a drawing's labels in the pocket model's sizes, without the batch.

    others: sizes of letters that the legend leaves open.
    """
    letters = others | {
        letter: pocket
        for names, (_, pocket) in drawing.sizes.items()
        for letter in names.split(", ")
        if pocket != ""
    }
    found = set()
    for text in (match[1] for label in drawing.labels for match in SHAPE.finditer(label.words)):
        code = re.sub(r"(\d) (\w)", r"\1 * \2", text).replace("/", "//").removeprefix("B, ")
        found.add(eval(f"({code},)", {}, letters))
    assert found
    return found


def seen_shapes(network, call) -> set[tuple]:
    """The shapes that go into a network's modules and come out of them during a call."""
    found = set()

    def keep(_, given, answer):
        for value in [*given, *(answer if isinstance(answer, tuple) else [answer])]:
            if isinstance(value, torch.Tensor):
                found.add(tuple(value.shape[1:]))

    hooks = [module.register_forward_hook(keep) for module in network.modules()]
    with torch.no_grad():
        call()
    for hook in hooks:
        hook.remove()
    return found


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(pocket_folder())


def test_the_shapes_of_the_stack_are_those_of_a_forward_pass(pipe):
    txt, noise = torch.zeros(1, 17, 192), pack(pipe.noise(1, 128, 128, seed=0))
    seen = seen_shapes(
        pipe.transformer, lambda: pipe.transformer(noise, txt, torch.ones(1), [(1, 8, 8)])
    )
    for name in ("mmdit_stack", "mmdit_block"):
        assert drawn_shapes(written.DRAWINGS[name](), T=17) <= seen, name


def test_the_shapes_of_the_vae_are_those_of_there_and_back(pipe):
    vae = pipe.vae
    seen = seen_shapes(vae, lambda: vae.decode(vae.encode(torch.zeros(1, 3, 128, 128))[0]))
    assert drawn_shapes(written.DRAWINGS["vae"]()) <= seen


def test_the_shapes_of_the_tokens_are_those_of_a_prompt(pipe):
    ids = pipe.tokenizer.encode_prompt("a red star")
    seen = seen_shapes(pipe.text_encoder, lambda: pipe.text_encoder(torch.tensor([ids])))
    states, _ = pipe.encode_prompt(["a red star"])
    drawn = drawn_shapes(written.DRAWINGS["tokens"](), T=states.shape[1])
    assert drawn == {(len(ids),), (len(ids), 192), tuple(states.shape[1:])}
    assert (len(ids), 192) in seen


def test_the_example_of_the_tokens_is_encoded_to_the_ids_in_the_drawing(pipe):
    words = [label.words for label in written.DRAWINGS["tokens"]().labels]
    prompt = next(label for label in words if label.startswith("prompt: "))
    ids = next(label for label in words if label.startswith("... "))
    last = list(map(int, ids.removeprefix("... ").split(", ")))
    assert pipe.tokenizer.encode(prompt.split("'")[1])[-len(last) :] == last


def test_the_shapes_of_the_text_encoder_hold_as_many_numbers_as_those_of_a_forward_pass(pipe):
    ids = torch.tensor([pipe.tokenizer.encode_prompt("a red star")])
    seen = seen_shapes(pipe.text_encoder, lambda: pipe.text_encoder(ids))
    drawn = drawn_shapes(written.DRAWINGS["text_layer"](), T=ids.shape[1])
    states = {shape for shape in drawn if shape[0] == ids.shape[1] - 34}
    assert states == {(ids.shape[1] - pipe.tokenizer.prefix_length, 192)}
    # careful: heads are split between modules, so only the number of numbers can be compared
    assert {*map(math.prod, drawn - states - {()})} <= {*map(math.prod, seen)}


def test_the_shapes_of_the_vision_tower_are_those_of_a_forward_pass():
    vision = Vision(pocket().vision)
    patches = torch.zeros(64, 1176)
    seen = seen_shapes(vision, lambda: vision(patches, [(1, 8, 8)]))
    drawn = drawn_shapes(written.DRAWINGS["vision_tower"](), N=64)
    assert {shape[1:] for shape in drawn} <= seen  # no batch: patches come first
    assert {shape[0] for shape in drawn} == {64, 16}


def test_the_layers_and_pairs_of_the_lora_drawing_are_those_of_a_block(pipe):
    drawing, linears = written.DRAWINGS["lora_branch"](), lora.named_linears(pipe.transformer)
    adapter = lora.inject(pipe.transformer, lora.TARGETS["Lightning"], rank=8)
    pairs = {name.removeprefix("transformer_blocks.1.") for name in adapter.named_pairs()}
    adapter.remove()
    listed = {}
    for *names, sizes in adapters.LINEARS:
        ends = [192 * int(end.removesuffix("D") or 1) for end in sizes.split(",")[0].split(" → ")]
        for name in names:
            for one in [name.replace("{q, k, v}", q) for q in "qkv"] if "{" in name else [name]:
                full = one if "_m" in one else f"attn.{one}"
                listed[full] = (*ends, "no pair" not in sizes)
    first = "transformer_blocks.1."
    assert listed == {
        name.removeprefix(first): (
            *(layer.in_features, layer.out_features),
            name.removeprefix(first) in pairs,
        )
        for name, layer in linears.items()
        if name.startswith(first)
    }
    layer = linears[f"{first}img_mlp.net.0.proj"]
    pair = lora.Pair(torch.zeros(8, layer.in_features), torch.zeros(layer.out_features, 8), 8)
    x = torch.zeros(5, layer.in_features)
    seen = {each.shape for each in (x, layer.weight, pair.lora_A, x @ pair.lora_A.T, pair.lora_B)}
    sizes = {"N": 5, "r": 8, "in": layer.in_features, "out": layer.out_features}
    drawn = {
        (sizes[a], sizes[b])
        for label in drawing.labels
        for a, b in re.findall(r"\((\w+), (\w+)\)", label.words)
    }
    assert drawn == seen | {layer(x).shape}


def test_the_shapes_of_the_quantised_layer_are_those_of_its_blocks(pipe):
    drawing = written.DRAWINGS["quantised_linear"]()
    weight = pipe.transformer.transformer_blocks[0].attn.to_q.weight.detach()
    rows = gguf_blocks.encode(weight, "Q4_0")
    assert rows.numel() == drawing.sizes["Q4_0"][1]
    assert weight.bfloat16().nbytes == drawing.sizes["bf16"][1]
    q = gguf_blocks.decode(rows, "Q4_0").unflatten(1, (-1, 32))
    x = torch.zeros(drawing.sizes["I"][1], weight.shape[1])
    inputs = x.unflatten(1, (-1, 32))
    sums = torch.einsum("nbi,obi->nob", inputs, q)
    seen = (x, inputs, inputs[..., 0], q, q[..., 0], sums, sums[..., 0])
    assert rows.shape == (len(weight), 18 * q.shape[1])
    assert drawn_shapes(drawing) <= {tuple(tensor.shape) for tensor in seen}


@every_drawing
def test_the_file_is_what_is_drawn_now(name):
    file = written.FIGURES / f"{name}.svg"
    text = file.read_text(encoding="utf-8")
    assert text == written.DRAWINGS[name]().svg(), "run python -m qwenimage_ref.course.diagrams"


def test_there_is_no_file_that_nothing_draws():
    assert {path.stem for path in written.FIGURES.iterdir()} == {*written.DRAWINGS}


def test_every_drawing_is_shown_in_a_chapter():
    sources = "".join(path.read_text(encoding="utf-8") for path in build.sources())
    assert {*re.findall(r"\(figures/(\w+)\.svg\)", sources)} == {*written.DRAWINGS}


def test_every_variant_of_the_study_is_on_the_drawing_of_choices():
    words = {label.words for label in written.DRAWINGS["choices"]().labels}
    assert VARIANTS.keys() - words == {"baseline"}
