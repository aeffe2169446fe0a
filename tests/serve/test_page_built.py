"""The page as it is built for each kind of weights: its tabs, their fields, the menu of LoRAs."""

import asyncio
from types import SimpleNamespace

import pytest
from helpers.editing import EDIT, EDIT_PLUS, edit_folder
from helpers.layering import layered_folder
from PIL import Image

from qwenimage_ref.cli import layers, loading, paint, worker
from qwenimage_ref.repository import POCKET
from qwenimage_ref.serve import wishes
from qwenimage_ref.serve.history import History
from qwenimage_ref.serve.jobs import Queue

pytest.importorskip("gradio")
from qwenimage_ref.serve.page import Page  # noqa: E402

NONE = {"lora": [], "control": []}
OFFERS = {"lora": ["style.safetensors", "eligen.safetensors"], "control": ["canny", "union"]}
TABS = {  # {kind of folder: {name of a tab: its title and what stands on its button}}
    "text": {
        "paint": ("Paint", "Paint"),
        "image": ("From a picture", "Paint over it"),
        "mask": ("Inside a mask", "Paint inside"),
        "regions": ("Regions", "Paint"),
        "control": ("Control", "Paint"),
    },
    "edit": {"edit": ("Edit", "Edit"), "mask": ("Edit inside a mask", "Edit")},
    "edit plus": {"edit": ("Edit", "Edit"), "mask": ("Edit inside a mask", "Edit")},
    "layers": {"layers": ("Take apart", "Take apart")},
}
OWN = {  # {name of a tab: labels of its own fields}
    "paint": [],
    "image": ["Picture", "Strength: how much may change"],
    "mask": ["Picture and mask", "Strength: how much may change",
             "Paint only its surroundings, at full size"],
    "regions": ["What is where", "What is red", "What is green", "What is blue"],
    "control": ["Control network", "Edges, depth or a pose", "Strength", "From",
                "to this share of the steps"],
    "layers": ["Picture", "Layers"],
}  # fmt: skip
EDITS = {"edit": ["Picture"], "edit plus": ["Picture 1", "Picture 2", "Picture 3"]}
SHARED = ["Prompt", "Size", "Seed", "Randomize seed", "Rewrite the prompt", "Negative prompt",
          "Guidance, 1 is none", "Steps", "Lightning: 4 steps, for its LoRA", "LoRA",
          "Its strength"]  # fmt: skip
ABSENT = {"edit": {"Size"}, "layers": {"Prompt", "Size", *SHARED[4:5], *SHARED[8:9]}}
CASES = [(kind, name) for kind, names in TABS.items() for name in names]


@pytest.fixture(scope="module")
def abilities(tmp_path_factory):
    """{kind: what a worker says of a folder of that kind}"""
    top = tmp_path_factory.mktemp("weights")
    folders = {
        "text": POCKET,
        "edit": edit_folder(top / "edit", EDIT),
        "edit plus": edit_folder(top / "plus", EDIT_PLUS),
        "layers": layered_folder(top / "layers"),
    }
    options = {
        kind: loading.parse(loading.add_arguments, [f"--weights={folder}"])
        for kind, folder in folders.items()
    }
    return {kind: worker.abilities(options[kind]) for kind in folders}


@pytest.fixture
def build(abilities, tmp_path):
    """-> the page for a kind of folder, whose queue has no worker"""
    return lambda kind, offers=OFFERS: Page(
        abilities[kind], Queue([]), History(tmp_path / "pictures"), offers
    )


def components(page: Page) -> dict[int, dict]:
    """{number: type and properties} of all that is on the page"""
    listed = page.blocks.get_config_file()["components"]
    return {each["id"]: each["props"] | {"type": each["type"]} for each in listed}


def endpoint(page: Page, name: str):
    (function,) = (each for each in page.blocks.fns.values() if each.api_name == name)
    return function


def fields(page: Page, name: str) -> list[dict]:
    """The fields that the button of a tab sends, in their order"""
    shown = components(page)
    return [shown[each._id] for each in endpoint(page, name).inputs]


@pytest.mark.parametrize("kind", TABS)
def test_a_page_has_the_tabs_of_its_weights_and_a_button_in_each(build, kind):
    shown = components(build(kind)).values()
    titles = [each["label"] for each in shown if each["type"] == "tabitem"]
    verbs = [each["value"] for each in shown if each["type"] == "button"]
    assert titles == [title for title, _ in TABS[kind].values()]
    assert verbs == [*(verb for _, verb in TABS[kind].values()), "Stop"]


@pytest.mark.parametrize("kind, name", CASES)
def test_a_button_sends_the_shared_fields_and_those_of_its_tab(build, kind, name):
    labels = [each["label"] for each in fields(build(kind), name)]
    shared = [label for label in SHARED if label not in ABSENT.get(kind.split()[0], ())]
    if kind == "layers":
        shared = ["What the picture shows (may be left out)", *shared]
    assert labels == shared + (EDITS[kind] if name == "edit" else OWN[name])


@pytest.mark.parametrize("kind", TABS)
def test_the_menu_of_loras_is_there_where_the_server_offers_some(build, kind):
    first = next(iter(TABS[kind]))
    (menu,) = (each for each in fields(build(kind), first) if each["label"] == "LoRA")
    assert [value for _, value in menu["choices"]] == OFFERS["lora"]
    assert menu["multiselect"] and menu["value"] == []
    assert "LoRA" not in [each["label"] for each in fields(build(kind, NONE), first)]


def test_control_networks_and_the_model_itself_may_read_a_control_picture(build):
    net = next(each for each in fields(build("text"), "control") if each["type"] == "dropdown"
               and each["label"] == "Control network")  # fmt: skip
    assert [value for _, value in net["choices"]] == [*OFFERS["control"], wishes.IN_CONTEXT]
    assert net["value"] == "canny"


@pytest.mark.parametrize("kind, name", CASES)
def test_what_a_tab_shows_at_first_with_a_picture_is_a_command(build, kind, name, tmp_path):
    page = build(kind)
    Image.new("RGB", (64, 48), "navy").save(tmp_path / "navy.png")
    values = [filled(field, str(tmp_path / "navy.png")) for field in fields(page, name)]
    asyncio.run(first_look(page, name, values))
    (job,) = page.queue._waiting
    command = {"paint": paint, "layers": layers}[job.task]
    options = command.parse([*(["--to=x"] if job.task == "layers" else []), *job.arguments])
    assert options.prompt == "a star" and options.seed == 7
    assert options.lora == ["style.safetensors=1.0"]
    pictures = {"edit": 1, "edit plus": 3}.get(kind, 1) if name == "edit" else 1
    if name in ("image", "mask", "edit"):
        assert len(options.image) == pictures
    if name in ("regions", "control"):
        assert len(getattr(options, {"regions": "region"}.get(name, name))) == 1
    assert kind != "layers" or options.picture.is_file()


def filled(field: dict, picture: str):
    """What a field shows at first, and where that is nothing, what a visitor puts into it"""
    layer = Image.new("RGBA", (64, 48))
    layer.paste(wishes.REGION_COLOURS["red"], (0, 0, 32, 48))
    drawn = {"background": Image.new("RGB", (64, 48)), "layers": [layer], "composite": None}
    chosen = {"Randomize seed": False, "Seed": 7, "LoRA": ["style.safetensors"]}
    chosen |= {"What is red": "a ring", "Prompt": "a star"}
    chosen["What the picture shows (may be left out)"] = "a star"
    by_type = {"image": picture, "imageeditor": drawn}
    label = field["label"]
    return chosen[label] if label in chosen else by_type.get(field["type"], field.get("value"))


async def first_look(page: Page, name: str, values: list) -> None:
    """Click, and see what is shown first; then the queue has the job."""
    request = SimpleNamespace(headers={"x-arrival": "1"}, session_hash="visitor")
    shown = endpoint(page, name).fn(request, *values)
    result, seed, _, _ = await anext(shown)
    await shown.aclose()
    assert "before it in the queue" in result and seed == 7
