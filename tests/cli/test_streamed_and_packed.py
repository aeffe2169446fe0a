"""`paint --region --context` and `layers` from weights on the disk, packed ones, and under a LoRA:
the pictures are those of the same weights in memory."""

import json

import numpy as np
import pytest
import torch
from helpers.gguf_files import as_published, write_theirs
from helpers.layering import tiny_layered, transparent
from PIL import Image
from safetensors.torch import save_file

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.pocket.variants import VARIANTS
from qwenimage_ref.repository import POCKET
from qwenimage_ref.tasks.layers import decompose

WISH = "two shapes on a white background"
EDGES = Image.new("RGB", (64, 64), "navy")
LEFT = Image.new("L", (64, 64))
LEFT.paste(255, (0, 0, 32, 64))
LORAS = {"eligen": 1.0, "control_in_context": 0.5}  # of the pocket's variants, with their scales
FORMS = pytest.mark.parametrize(
    "packed, adapted",
    [(None, False), (None, True), ("gguf", False), ("fp8", True)],
    ids=["bf16", "bf16 and LoRA", "GGUF", "fp8 and LoRA"],
)


def command(capsys, *words) -> None:
    """Runs a command, from the disk, that must succeed."""
    assert cli.main([str(word) for word in (*words, "--stream")]) == 0, capsys.readouterr().err


def resident(folder, file, adapters: dict) -> QwenImage:
    pipe = QwenImage.from_pretrained(folder, dtype=torch.bfloat16, transformer=file)
    for name, scale in adapters.items():
        lora.load(pipe.transformer, name, scale)
    return pipe


def options(file, adapters: dict) -> list:
    words = ["--transformer", file] if file else []
    return [
        *words,
        *(word for pair in adapters.items() for word in ("--lora", "{}={}".format(*pair))),
    ]


# -- regions and a context picture ----------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Mask and edges, and the pocket's transformer in either packed form"""
    folder = tmp_path_factory.mktemp("files")
    LEFT.save(folder / "left.png")
    EDGES.save(folder / "edges.png")
    mmdit = QwenImage.from_pretrained(POCKET, dtype=torch.bfloat16).transformer
    save_gguf(mmdit, folder / "packed.gguf", "Q8_0")
    save_fp8(mmdit, folder / "packed.safetensors", "tensor")
    return folder


def painted(pipe) -> np.ndarray:
    options = {"height": 64, "width": 64, "num_inference_steps": 2, "seed": 0}
    return np.asarray(
        pipe(WISH, " ", context_image=EDGES, regions=[("a star", LEFT)], **options)[0]
    )


@pytest.fixture(scope="module")
def plain():
    """The picture of the weights as they are"""
    return painted(resident(POCKET, None, {}))


@FORMS
def test_regions_and_a_context_picture_are_painted_as_from_memory(
    files, tmp_path, capsys, plain, packed, adapted
):
    file = {"gguf": files / "packed.gguf", "fp8": files / "packed.safetensors"}.get(packed)
    adapters = {VARIANTS / f"{name}.safetensors": scale for name, scale in LORAS.items()}
    adapters = adapters if adapted else {}
    words = ["--size", "64x64", "--steps", 2, "--quiet", "--region", f"a star={files}/left.png"]
    words += ["--context", files / "edges.png", *options(file, adapters)]
    command(capsys, "paint", WISH, *words, "-o", tmp_path / "out.png")
    picture = np.asarray(Image.open(tmp_path / "out.png"))
    assert np.array_equal(picture, painted(resident(POCKET, file, adapters)))
    assert np.array_equal(picture, plain) == (file is None and not adapted)


# -- layers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    """A tiny layered model, its transformer in either packed form, a LoRA, and a picture"""
    top = tmp_path_factory.mktemp("layered")
    forge(top / "model", tiny_layered())
    (top / "model" / "recommended.json").write_text(json.dumps({"sample_size": 64}))
    mmdit = QwenImage.from_pretrained(top / "model", dtype=torch.bfloat16).transformer
    with torch.no_grad():
        mmdit.proj_out.weight.mul_(0.5)  # so that the packed files make another picture
    # rows of this model are too narrow for blocks of 32 numbers
    write_theirs(top / "packed.gguf", mmdit, lambda *named: as_published(*named, "F16"))
    save_fp8(mmdit, top / "packed.safetensors", "tensor")
    pair, generator = {"A": (4, 48), "B": (48, 4)}, torch.Generator().manual_seed(0)
    name = "transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"
    drawn = {name.format(k): 3 * torch.randn(size, generator=generator) for k, size in pair.items()}
    save_file(drawn, top / "lora.safetensors")
    transparent(70, 50).save(top / "clear.png")
    return top


def taken_apart(pipe) -> np.ndarray:
    options = {"layers": 2, "num_inference_steps": 2, "seed": 0, "cfg_normalize": True}
    return np.stack(
        [np.asarray(each) for each in decompose(pipe, transparent(70, 50), "a", **options)]
    )


@FORMS
def test_layers_are_those_of_the_weights_in_memory(layered, tmp_path, capsys, packed, adapted):
    file = {"gguf": layered / "packed.gguf", "fp8": layered / "packed.safetensors"}.get(packed)
    adapters = {layered / "lora.safetensors": 1.0} if adapted else {}
    words = ["--weights", layered / "model", "--to", tmp_path / "new", *options(file, adapters)]
    words += ["--layers", 2, "--prompt", "a", "--steps", 2]
    command(capsys, "layers", layered / "clear.png", *words)
    layers = [Image.open(tmp_path / "new" / f"layer_{n}.png") for n in (1, 2)]
    written = np.stack([np.asarray(each) for each in layers])
    assert np.array_equal(written, taken_apart(resident(layered / "model", file, adapters)))
    same = np.array_equal(written, taken_apart(resident(layered / "model", None, {})))
    assert same == (file is None and not adapted)
