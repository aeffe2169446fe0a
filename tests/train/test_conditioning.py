"""Examples with pictures, regions and layers: encoded once, and trained on, as pipelines would."""

from importlib import import_module

import pytest
import torch
from helpers.editing import EDIT, EDIT_PLUS, INSTRUCTION, edit_folder, picture
from helpers.layering import layered_folder, transparent
from helpers.painting_over import POCKET, WISH
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.conditions import Branch
from qwenimage_ref.sampler import pack
from qwenimage_ref.tasks.regions import context_prompt, in_context, in_regions
from qwenimage_ref.train import conditioning, dataset
from qwenimage_ref.train.branches import conditioned
from qwenimage_ref.train.captions import DataError
from qwenimage_ref.train.columns import Columns
from qwenimage_ref.train.dataset import Encoded, Example, encode
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Flow, loss_of
from qwenimage_ref.train.run_folder import RunFolder

EDITING, LAYERS = (import_module(f"qwenimage_ref.tasks.{name}") for name in ("edit", "layers"))
SIDE = 64
LEFT = Image.new("L", (SIDE, SIDE))
LEFT.paste(255, (0, 0, 32, SIDE))


@pytest.fixture(scope="module")
def plain():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module", params=["first", "2509", "2511"])
def editing(request, tmp_path_factory):
    kind = EDIT if request.param == "first" else EDIT_PLUS
    options = {"zero_cond_t": True} if request.param == "2511" else {}
    folder = edit_folder(tmp_path_factory.mktemp("edit") / "model", kind, **options)
    return QwenImage.from_pretrained(folder)


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    return QwenImage.from_pretrained(layered_folder(tmp_path_factory.mktemp("layered") / "model"))


def saved(folder, **pictures) -> dict:
    for name, each in pictures.items():
        each.save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in pictures}


def encoded(pipe, folder, caption=WISH, **columns) -> Encoded:
    target = (
        columns.get("layers", (None,))[0] or saved(folder, target=picture(SIDE, SIDE))["target"]
    )
    example = Example(target, caption, Columns(**columns))
    ((result,), _) = encode(pipe, [example], RunFolder(folder / "runs"), SIDE * SIDE)
    return result


def given(example: Encoded, monkeypatch, pipe) -> tuple:
    """What the transformer is called with in a loss of that example"""
    calls, plain = [], pipe.transformer.forward
    monkeypatch.setattr(
        pipe.transformer, "forward", lambda *call: calls.append(call) or plain(*call)
    )
    recipe = Recipe(steps=1, batch=1, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
    with torch.no_grad():
        loss_of(pipe.transformer, [example], torch.zeros(1, 1), recipe, Flow())(0)
    return calls[0]


def equal(call, branch: Branch, grid) -> bool:
    """Whether a call is that of a branch, whatever the noise"""
    wanted = branch.call(call[0][:, : grid[0] * grid[1] * grid[2]], call[2], grid)
    return all(
        torch.allclose(a, b, atol=1e-5) if isinstance(a, torch.Tensor) and a.dtype.is_floating_point
        else torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
        for a, b in zip(call, wanted)
    )  # fmt: skip


# -- edit pairs -----------------------------------------------------------------------------------


def test_an_edit_pair_gives_the_transformer_what_the_pipeline_would(editing, tmp_path, monkeypatch):
    pictures = [picture(80, 48, seed=1)] + [picture(40, 70, seed=2)] * (editing.form.most > 1)
    files = saved(tmp_path, **{f"p{n}": each for n, each in enumerate(pictures)})
    example = encoded(editing, tmp_path, INSTRUCTION, edit_image=tuple(files.values()))
    copies = EDITING.encoded_copies(editing, pictures)
    img = torch.cat([EDITING.picture_tokens(editing, copy) for copy in copies], dim=1)
    shape = 1, SIDE, SIDE
    branch, empty = EDITING.edit_branches(
        editing, [[INSTRUCTION], [" "]], pictures, copies, img, shape
    )
    assert equal(given(example, monkeypatch, editing), branch, (1, 4, 4))
    assert torch.allclose(example.empty, empty.txt[0], atol=1e-5)


def test_a_picture_of_several_pairs_is_encoded_and_read_once(tmp_path, monkeypatch):
    pipe = QwenImage.from_pretrained(edit_folder(tmp_path / "model", EDIT))
    files, calls = saved(tmp_path, source=picture(80, 48), target=picture(SIDE, SIDE)), []
    for name in ("picture_tokens", "read_pictures"):
        plain = getattr(conditioning, name)
        monkeypatch.setattr(
            conditioning, name,
            lambda *all, name=name, plain=plain: calls.append(name) or plain(*all),
        )  # fmt: skip
    columns = Columns(edit_image=(files["source"],))
    examples = [Example(files["target"], caption, columns) for caption in ("red", "green")]
    runs = RunFolder(tmp_path / "runs")
    first, _ = encode(pipe, examples, runs, SIDE * SIDE)
    assert calls == ["picture_tokens", "read_pictures"]
    monkeypatch.setattr(dataset, "_encode", None)
    second, _ = encode(pipe, examples, runs, SIDE * SIDE)
    assert all(torch.equal(a.txt, b.txt) and a.grids == b.grids for a, b in zip(first, second))


def test_a_dropped_caption_of_a_pair_keeps_its_pictures(plain, monkeypatch):
    pair = {"img": torch.ones(4, 64), "grids": ((1, 2, 2),), "empty": torch.zeros(3, 192)}
    width = plain.transformer.config.joint_attention_dim
    pair["empty"] = torch.zeros(3, width)
    example = Encoded(torch.ones(16, 4, 4), torch.ones(2, width), **pair)
    recipe, calls = Recipe(steps=1, batch=1, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0), []
    forward = plain.transformer.forward
    monkeypatch.setattr(
        plain.transformer, "forward", lambda *call: calls.append(call) or forward(*call)
    )
    with torch.no_grad():
        loss_of(plain.transformer, [example], torch.ones(1, width), recipe, Flow(dropout=1.0))(0)
    assert torch.equal(calls[0][1][0], pair["empty"]) and calls[0][0].shape[1] == 8


# -- context, regions, layers ---------------------------------------------------------------------


def test_a_context_picture_gives_what_the_pipeline_would(plain, tmp_path, monkeypatch):
    edges = picture(SIDE, SIDE, seed=3)
    file = saved(tmp_path, edges=edges)["edges"]
    example = encoded(plain, tmp_path, context_image=file)
    branches = plain.encode_prompts([[context_prompt(WISH)]])
    (branch,) = in_context(plain, branches, (1, SIDE, SIDE), edges)
    assert equal(given(example, monkeypatch, plain), branch, (1, 4, 4))


def test_regions_give_what_the_pipeline_would(plain, tmp_path, monkeypatch):
    file = saved(tmp_path, mask=LEFT)["mask"]
    regions = {"eligen_entity_prompts": ("a star",), "eligen_entity_masks": (file,)}
    example = encoded(plain, tmp_path, **regions)
    branches = plain.encode_prompts([[WISH]])
    (branch,) = in_regions(plain, branches, (1, SIDE, SIDE), [("a star", LEFT)], False)
    assert equal(given(example, monkeypatch, plain), branch, (1, 4, 4))


def test_regions_of_one_batch_have_a_mask_each(plain, monkeypatch):
    width = plain.transformer.config.joint_attention_dim
    seen = [torch.zeros(1, 4, dtype=torch.bool), torch.ones(1, 4, dtype=torch.bool)]
    examples = [
        Encoded(torch.ones(16, 4, 4), torch.ones(5, width), lengths=(2,), seen=each)
        for each in seen
    ]
    masks, forward = [], plain.transformer.forward
    monkeypatch.setattr(
        plain.transformer, "forward", lambda *call: masks.append(call[6]) or forward(*call)
    )
    inputs = torch.ones(2, 4, 64), torch.ones(2, 5, width), torch.ones(2), [(1, 2, 2)]
    with torch.no_grad():
        conditioned(plain.transformer, examples)(*inputs)
    assert masks[0].shape == (2, 1, 9, 9)
    assert not masks[0][0, 0, 0, 5:].any() and masks[0][1, 0, 0, 5:].all()


def test_dropout_with_regions_is_one_line(plain):
    example = Encoded(torch.ones(16, 4, 4), torch.ones(5, 8), lengths=(2,), seen=torch.ones(1, 4))
    with pytest.raises(ValueError, match="^dropout must be 0 for examples with regions, got 0.5"):
        loss_of(plain.transformer, [example], None, Recipe(1, 1, 1e-3, 0), Flow(dropout=0.5))


def test_layers_give_what_the_pipeline_would(layered, tmp_path, monkeypatch):
    files = saved(tmp_path, **{name: transparent(SIDE, SIDE, n) for n, name in enumerate("abc")})
    own = {"layers": (files["a"], files["b"]), "layer_input_image": files["c"]}
    example = encoded(layered, tmp_path, **own)
    img = EDITING.picture_tokens(layered, transparent(SIDE, SIDE, 2))
    (branch,) = LAYERS.layered_branches(layered.encode_prompts([[WISH]]), img, 2, (1, 4, 4))
    call = given(example, monkeypatch, layered)
    assert equal(call, branch, (1, 8, 4))
    first = EDITING.picture_tokens(layered, transparent(SIDE, SIDE, 0))
    assert torch.allclose(pack(example.latents[None])[:, :16], first, atol=1e-5)


def test_the_mask_of_a_layer_to_take_out_stands_before_the_picture(layered, tmp_path, monkeypatch):
    files = saved(tmp_path, **{name: transparent(SIDE, SIDE, n) for n, name in enumerate("abc")})
    own = {"layers": (files["a"],), "layer_input_image": files["c"], "context_image": files["b"]}
    img, *_, grids = given(encoded(layered, tmp_path, **own), monkeypatch, layered)[:4]
    assert grids == [(1, 4, 4)] * 3
    tokens = [EDITING.picture_tokens(layered, transparent(SIDE, SIDE, n)) for n in (1, 2)]
    assert torch.allclose(img[:, 16:], torch.cat(tokens, dim=1), atol=1e-5)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, columns, words",
    [
        (
            "plain",
            {"edit_image": ["a"]},
            "an example must be without edit_image for a text-to-image model",
        ),
        (
            "edit",
            {},
            "an example must have edit_image for an edit model, got none; add it to the table",
        ),
        ("edit", {"edit_image": ["a", "a"]}, "image must be 1 picture for this model, got 2"),
        (
            "edit",
            {"edit_image": ["a"], "context_image": "a"},
            "an example must be without context_image for",
        ),
        (
            "layered",
            {},
            "an example must have a list in the column image for a layered model, got none",
        ),
        (
            "layered",
            {"layers": ["a", "a"], "layer_input_image": "a", "context_image": "a"},
            "an example must be without context_image where it has more than one layer",
        ),
        (
            "layered",
            {"layers": ["a", "a", "a"], "layer_input_image": "a"},
            "an example must have transparency in every layer above the lowest, got none in",
        ),
        (
            "layered",
            {"layers": ["a"], "layer_input_image": "a", "context_image": "a"},
            "mask must be opaque where the layer is and transparent elsewhere, got all of it",
        ),
        (
            "plain",
            {"eligen_entity_prompts": "x", "eligen_entity_masks": ["grey"]},
            'the mask of "x" must be black and white, got 4,096 grey pixels',
        ),
    ],
)
def test_columns_that_are_not_for_the_model_are_one_line(
    plain, layered, tmp_path, monkeypatch, kind, columns, words
):
    files = saved(tmp_path, a=picture(SIDE, SIDE), grey=Image.new("L", (SIDE, SIDE), 99))
    for name, value in columns.items():
        single = name.endswith("_image") and name != "edit_image"
        paths = name != "eligen_entity_prompts"
        columns[name] = files[value] if single else tuple(files[v] if paths else v for v in value)
    pipe = {"plain": plain, "layered": layered}.get(kind)
    if pipe is None:
        pipe = QwenImage.from_pretrained(edit_folder(tmp_path / "model", EDIT))
    monkeypatch.setattr(dataset, "_encode", None)  # all are checked before the first is encoded
    examples = [Example(files["a"], WISH, Columns(**columns))]
    with pytest.raises(DataError) as error:
        encode(pipe, examples, RunFolder(tmp_path / "runs"), SIDE * SIDE)
    # nothing stands between the file and the words
    assert str(error.value).startswith(f"{files['a']}: {words}") and "\n" not in str(error.value)
