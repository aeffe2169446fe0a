"""What is entered on the page becomes the arguments of a command, and nothing else does."""

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.cli import layers, paint
from qwenimage_ref.serve import wishes
from qwenimage_ref.serve.history import History
from qwenimage_ref.serve.jobs import QueueError
from qwenimage_ref.serve.tabs import Tab, of

pytest.importorskip("gradio")
TEXT = {"kind": "text", "sizes": [], "pictures": 1}
NO_OFFERS = {"lora": [], "control": []}
WISH = {
    "prompt": "--output=x", "negative": "", "seed": 3, "steps": 4, "cfg": 2.5, "size": "64x48",
    "rewrite": False, "lightning": False,
}  # fmt: skip


def titles(abilities, **offers) -> list[str]:
    return [tab.title for tab in of(abilities, NO_OFFERS | offers)]


def tab(name: str, abilities=TEXT, **offers) -> Tab:
    return next(tab for tab in of(abilities, NO_OFFERS | offers) if tab.name == name)


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


@pytest.fixture
def picture(tmp_path):
    Image.new("RGB", (64, 48), "navy").save(tmp_path / "navy.PNG")
    return str(tmp_path / "navy.PNG")


def editor(*strokes: tuple[str, tuple]) -> dict:
    layer = Image.new("RGBA", (64, 48))
    for colour, box in strokes:
        layer.paste(colour, box)
    return {"background": Image.new("RGB", (64, 48), "navy"), "layers": [layer], "composite": None}


def test_the_tabs_are_what_the_weights_can_do():
    assert titles(TEXT) == ["Paint", "From a picture", "Inside a mask"]
    offered = titles(TEXT, lora=["a"], control=["canny"])
    assert offered == ["Paint", "From a picture", "Inside a mask", "Regions", "Control"]
    assert titles({"kind": "edit", "pictures": 3}) == ["Edit", "Edit inside a mask"]
    assert titles({"kind": "layers"}) == ["Take apart"]


def test_sizes_are_those_of_the_official_demo_at_the_area_of_the_weights():
    official = wishes.sizes_of({"sizes": []})
    assert official["16:9 (1664 × 928)"] == "1664x928" and len(official) == 7
    small = wishes.sizes_of({"sizes": [], "sample_size": 256})
    assert list(small.values())[:2] == ["256x256", "320x176"]
    trained = wishes.sizes_of({"sizes": [[96, 128], [112, 112], [128, 96]]})
    assert list(trained.items())[0] == ("112 × 112", "112x112")
    assert list(trained.values())[1:] == ["96x128", "128x96"]


def test_a_prompt_that_looks_like_an_option_stays_a_prompt(history):
    options = paint.parse(tab("paint").arguments(dict(WISH), history))
    assert options.prompt == "--output=x" and options.output == paint.parse(["x"]).output
    assert (options.seed, options.steps, options.cfg, options.size) == (3, 4, 2.5, "64x48")
    assert options.negative == " " and not options.rewrite


def test_lightning_leaves_steps_and_guidance_to_its_schedule(history):
    words = dict(WISH, lightning=True, rewrite=True, lora=["a.safetensors"], lora_scale=0.5)
    arguments = tab("paint").arguments(words, history)
    assert {"--lightning", "--rewrite", "--lora=a.safetensors=0.5"} <= set(arguments)
    assert not [argument for argument in arguments if argument.startswith(("--steps", "--cfg"))]


def test_an_uploaded_picture_is_kept_under_the_name_of_its_content(history, picture):
    wish = dict(WISH, picture=picture, strength=0.4)
    first, again = (tab("image").arguments(dict(wish), history) for _ in range(2))
    options = paint.parse(first)
    (kept,) = options.image
    assert first == again and options.strength == 0.4
    assert kept.parent == history.folder / "inputs" and kept.suffix == ".png"
    assert kept.read_bytes() == open(picture, "rb").read()


def test_what_is_drawn_becomes_a_mask(history):
    drawn = editor(("white", (0, 0, 32, 48)))
    wish = dict(WISH, editor=drawn, strength=1, crop=True)
    options = paint.parse(tab("mask").arguments(wish, history))
    mask = np.asarray(Image.open(options.mask))
    assert (mask[:, :32] == 255).all() and not mask[:, 32:].any()
    assert options.padding_mask_crop == 32
    assert Image.open(options.image[0]).getpixel((0, 0)) == (0, 0, 128)


def test_each_colour_is_a_region_of_its_own(history):
    red, blue = wishes.REGION_COLOURS["red"], wishes.REGION_COLOURS["blue"]
    drawn = editor((red, (0, 0, 40, 48)), (blue, (32, 0, 64, 24)))
    texts = {"region red": "a=b", "region green": " ", "region blue": "a star"}
    options = paint.parse(tab("regions", lora=["x"]).arguments(
        dict(WISH, editor=drawn, **texts), history))  # fmt: skip
    pairs = [text.rpartition("=") for text in options.region]
    masks = [np.asarray(Image.open(file)) == 255 for *_, file in pairs]
    assert [text for text, *_ in pairs] == ["a=b", "a star"]
    assert masks[0].sum() == 40 * 48 - 8 * 24 and masks[1].sum() == 32 * 24


def test_a_control_picture_goes_to_its_network(history, picture):
    numbers = {"net": "canny", "scale": 0.5, "start": 0, "end": 0.75}
    wish = dict(WISH, picture=picture, **numbers)
    offered = tab("control", control=["canny"], lora=["x"])
    (control,) = paint.parse(offered.arguments(dict(wish), history)).control
    in_context = paint.parse(offered.arguments(wish | {"net": wishes.IN_CONTEXT}, history))
    assert in_context.context.is_file() and not in_context.control
    assert control.startswith("canny=") and control.endswith("@0.5,0.0,0.75")


def test_an_edit_model_is_given_its_pictures_in_order(history, picture):
    wish = dict(WISH, **{"picture 0": picture, "picture 1": None, "picture 2": picture})
    options = paint.parse(tab("edit", {"kind": "edit", "pictures": 3}).arguments(wish, history))
    assert len(options.image) == 2 and options.strength is None


def test_layers_are_asked_of_their_own_command(history, picture):
    wish = dict(WISH, picture=picture, layers=3, prompt=" ")
    words = tab("layers", {"kind": "layers"}).arguments(wish, history)
    options = layers.parse(["--to=x", *words])
    assert (options.layers, options.prompt, options.seed) == (3, None, 3)
    assert options.picture.is_file()


@pytest.mark.parametrize(
    "name, wish, line",
    [
        ("image", {"picture": None, "strength": 1}, "a picture must be given"),
        ("mask", {"editor": None, "strength": 1}, "a picture must be given"),
        ("mask", {"editor": editor(), "strength": 1}, "must be drawn"),
        ("paint", {"negative": "x" * 10_001}, "at most 10,000 characters"),
        ("control", {"net": "canny", "picture": None}, "a control picture must be given"),
        ("regions", {"editor": None, "region red": "", "region green": "", "region blue": None},
         "at least one region"),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(history, name, wish, line):
    with pytest.raises(QueueError, match=line):
        tab(name, lora=["x"], control=["canny"]).arguments(dict(WISH, **wish), history)


@pytest.mark.parametrize("seed", [None, -1, 2**31, float("nan")])
def test_a_seed_that_the_page_cannot_have_is_one_line(seed):
    with pytest.raises(QueueError, match="the seed must be a whole number from 0"):
        wishes.checked_seed(seed)


def test_files_are_offered_by_their_names_and_by_whole_paths_where_two_are_alike():
    files = ["/weights/a/union.safetensors", "/weights/b/union.safetensors", "/weights/edges.st"]
    assert wishes.named(files) == [
        (files[0], files[0]),
        (files[1], files[1]),
        ("edges.st", files[2]),
    ]
    assert wishes.named([wishes.IN_CONTEXT]) == [(wishes.IN_CONTEXT, wishes.IN_CONTEXT)]
