"""`qwenimage validate`: whole on a forged checkpoint, and every kind of damaged tensor is named."""

import importlib.util
import itertools
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.bounds import exact_entry
from helpers.small_net import on_meta
from helpers.tiny_model import TINY
from PIL import Image
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import STEMS
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.cli import main
from qwenimage_ref.mmdit import JointAttention, MMDiT
from qwenimage_ref.parity.tolerances import TOLERANCES, within
from qwenimage_ref.parity.validate import public_numbers
from qwenimage_ref.parity.validate.checkpoints import Checkpoints
from qwenimage_ref.parity.validate.report import Row
from qwenimage_ref.parity.validate.run import POSTER, poster, to_tensor
from qwenimage_ref.parity.validate.stages import (
    schedule_stage,
    stack_stage,
    text_stage,
    tokenizer_stage,
    vae_stage,
)
from qwenimage_ref.pipeline import QwenImage
from qwenimage_ref.posters import draw
from qwenimage_ref.posters.draw import caption
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE

POCKET = Path(__file__).parents[2] / "data" / "pocket"
SIDE = 32  # pixels: 2x2 tokens
CONFIGS = replace(
    TINY,
    transformer=replace(TINY.transformer, num_layers=3),
    text_encoder=replace(TINY.text_encoder, num_hidden_layers=2),
    # so wide that no norm sees only numbers near zero, which would magnify the last bits
    vae=replace(TINY.vae, base_dim=16),
)
UNREAD = re.compile(r".*time_conv")  # no picture depends on it; `verify` sees its shape


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    forge(folder, CONFIGS)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"sample_size": SIDE}))
    return folder


def damaged(folder: Path, part: str, keys: list[str], damage) -> Path:
    """A copy in which some tensors are others."""
    copy = folder.parent / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy, copy_function=os.link)
    file = copy / part / f"{STEMS[part]}.safetensors"
    tensors = load_file(file)
    tensors |= {key: damage(tensors[key].float()).bfloat16() for key in keys}
    file.unlink()  # careful: it is the whole one's, too
    save_file(tensors, file, metadata={"format": "pt"})
    return copy


def three_per_cent(tensor):
    """More of it; of a bias, which is forged zero, three per cent of what a matrix has."""
    return tensor * 1.03 if tensor.any() else tensor + 0.03 * 0.02


def kinds(part: str, network) -> list[str]:
    """One tensor of every name, whatever the numbers in it; those that are never read apart."""
    found: dict[str, list] = {}
    for key in stored_form(on_meta(network, getattr(CONFIGS, part))):
        if not UNREAD.match(key):
            found.setdefault(re.sub(r"\.\d+\.", ".*.", key), []).append(key)
    return [keys[len(keys) // 2] for keys in found.values()]


VAE_KINDS = kinds("vae", VAE)
DECODER = [key for key in VAE_KINDS if key.startswith(("decoder.", "post_quant_conv."))]
ENCODER = [key for key in VAE_KINDS if key not in DECODER]


def noise(*shape) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def last(stage):
    """What a stage returns, its rows dropped."""
    try:
        while True:
            next(stage)
    except StopIteration as end:
        return end.value


@torch.no_grad()
def stages(checkpoints: Checkpoints, part: str) -> list[Row]:
    """The rows of the stages that read one part."""
    if part == "text_encoder":
        return list(text_stage(checkpoints, [[*range(40)], [*range(36)]]))
    if part == "vae":
        return list(vae_stage(checkpoints, noise(1, 3, SIDE, SIDE).clamp(-1, 1)))
    step = last(schedule_stage(checkpoints, noise(1, 16, 4, 4)))
    return list(stack_stage(checkpoints, step, [noise(1, 7, 48), noise(1, 3, 48)]))


def first_failure(rows: list[Row]) -> Row:
    return next(row for row in rows if not row.ok)


def both(ours: Path, theirs: Path, dtype=torch.float32) -> Checkpoints:
    return Checkpoints(ours, theirs, dtype, torch.device("cpu"))


# -- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part, key",
    [("text_encoder", key) for key in kinds("text_encoder", TextEncoder)]
    + [("transformer", key) for key in kinds("transformer", MMDiT)],
    ids=lambda name: name,
)
def test_one_damaged_tensor_of_the_reference_is_found_and_named(tiny, part, key):
    rows = stages(both(tiny, damaged(tiny, part, [key], three_per_cent)), part)
    assert first_failure(rows).tensors == (key,)


@pytest.mark.parametrize("keys", itertools.zip_longest(ENCODER, DECODER), ids=str)
def test_a_damaged_tensor_in_each_half_of_the_vae_is_found_and_named(tiny, keys):
    keys = [key for key in keys if key]
    rows = stages(both(tiny, damaged(tiny, "vae", keys, three_per_cent)), "vae")
    assert [row.tensors for row in rows if not row.ok] == [(key,) for key in keys]


def test_a_single_wrong_number_in_a_matrix_is_enough(tiny):
    def one_number(tensor):
        tensor[5, 7] += 0.02
        return tensor

    key = "transformer_blocks.1.txt_mlp.net.0.proj.weight"
    copy = damaged(tiny, "transformer", [key], one_number)
    assert first_failure(stages(both(tiny, copy), "transformer")).tensors == (key,)


def test_nan_is_a_difference(tiny):
    key = "model.layers.1.mlp.up_proj.weight"
    copy = damaged(tiny, "text_encoder", [key], lambda tensor: tensor * float("nan"))
    assert first_failure(stages(both(tiny, copy), "text_encoder")).tensors == (key,)


def test_blocks_behind_a_damaged_one_are_fed_the_reference_s_input_and_agree(tiny):
    key = "transformer_blocks.0.attn.to_v.weight"
    rows = stages(both(tiny, damaged(tiny, "transformer", [key], three_per_cent)), "transformer")
    verdicts = {row.what: row.ok for row in rows if row.what.startswith("block ")}
    assert verdicts == {"block 0": False, "block 1": True, "block 2": True}


def test_wrong_arithmetic_is_told_from_wrong_weights(tiny, monkeypatch):
    right = JointAttention.forward
    monkeypatch.setattr(
        JointAttention, "forward", lambda self, img, txt, *told: right(self, img, txt * 1.01, *told)
    )
    row = first_failure(stages(both(tiny, tiny), "transformer"))
    assert row.parts_at.startswith("transformer_blocks.0.attn.add_")
    assert "the arithmetic differs" in row.reason


def altered(folder: Path, name: str, change) -> Path:
    """A copy in which one small file says something else."""
    copy = folder.parent / "altered"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    text = (copy / name).read_text("utf-8")
    (copy / name).write_text(change(text), "utf-8")
    return copy


def test_a_tokenizer_with_other_merges_is_found_and_a_prompt_named(tiny):
    def change(text):
        return "".join(text.splitlines(keepends=True)[:100])

    other = altered(tiny, "tokenizer/merges.txt", change)
    row = first_failure(list(tokenizer_stage(both(tiny, other), ["a cat"])))
    assert row.stage == "tokenizer" and row.reason.startswith("they differ first at the prompt '")


def test_a_scheduler_with_another_shift_is_found(tiny):
    def change(text):
        return json.dumps(json.loads(text) | {"base_shift": 0.51})

    other = altered(tiny, "scheduler/scheduler_config.json", change)
    row = first_failure(list(schedule_stage(both(tiny, other), noise(1, 16, 4, 4))))
    assert "noise levels" in row.what


# -- the command ----------------------------------------------------------------------------------


def validate(*arguments) -> tuple[int, dict]:
    """-> exit status, what was recorded"""
    folder, *more = map(str, arguments)
    record = Path(folder).parent / "validate.json"
    record.unlink(missing_ok=True)
    status = main(["validate", folder, "--record", str(record), *more])
    return status, json.loads(record.read_text()) if record.exists() else {}


def test_every_stage_of_a_forged_checkpoint_agrees(tiny, capsys):
    status, record = validate(tiny)
    assert status == 0 and record["ok"] and record["parts_at"] is None
    assert list(dict.fromkeys(row["stage"] for row in record["rows"])) == [
        "verify", "tokenizer", "text states", "vae", "sampler", "stack", "guided step",
    ]  # fmt: skip
    assert {"machine", "versions", "commit", "dtype", "device", "folder"} <= record.keys()
    assert {"torch", "diffusers", "transformers"} <= record["versions"].keys()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(record["rows"]) + 2
    assert all(line.endswith("ok") for line in lines[1:-1])


def test_in_bfloat16_every_stage_agrees_too(tiny):
    status, record = validate(tiny, "--dtype", "bfloat16")
    assert status == 0 and record["dtype"] == "bfloat16"
    for row in record["rows"]:
        if row["stage"] in ("text states", "stack", "guided step"):
            bound = TOLERANCES[exact_entry(row["stage"], torch.bfloat16)].value
            assert row["value"] <= bound, row["what"]


def test_a_stage_out_of_tolerance_ends_with_status_1_and_the_tensor_s_name(tiny, capsys):
    key = "decoder.up_blocks.1.resnets.0.conv2.weight"
    status, record = validate(tiny, "--reference", damaged(tiny, "vae", [key], three_per_cent))
    assert status == 1 and not record["ok"]
    assert record["parts_at"] == key.removesuffix(".weight")
    assert [row["tensors"] for row in record["rows"] if not row["ok"]] == [[key]]
    assert f"the folders differ in {key}" in capsys.readouterr().out


def test_a_whole_picture_is_painted_by_both(tiny):
    status, record = validate(tiny, "--picture")
    assert status == 0 and record["rows"][-1]["stage"] == "picture"


def test_random_weights_do_not_pass_for_official_ones(tiny):
    status, record = validate(tiny, "--official")
    assert status == 1
    assert [row["stage"] for row in record["rows"] if not row["ok"]] == ["gate", "gate"]


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["--reference", POCKET], "must hold tensors of the same names and shapes"),
        (["--reference", "nowhere"], "neither a folder nor a model"),
        (["--device", "cuda:77"], "--device must be available here, got cuda:77"),
        (["--dtype", "float16"], "float16"),
        (["--image", "photo.png"], "--image and --caption must be given together"),
        (["--image", "no.png", "--caption", "a cat"], "no.png"),
        (["--record", "no/validate.json"], "--record must be in a folder that exists"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_validated_is_one_line_and_status_2(tiny, arguments, complaint, capsys):
    assert main(["validate", str(tiny), *map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1


def test_an_image_of_400_megapixels_is_one_line_and_status_2(tiny, tmp_path, capsys):
    file = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(file)
    assert main(["validate", str(tiny), "--image", str(file), "--caption", "white"]) == 2
    error = capsys.readouterr().err
    assert "huge.png" in error and "pixels" in error and error.count("\n") == 1


def test_a_folder_that_is_not_whole_is_one_line_and_status_2(tiny, tmp_path, capsys):
    copy = tmp_path / "cut"
    shutil.copytree(tiny, copy)
    (copy / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert main(["validate", str(copy), "--record", str(tmp_path / "validate.json")]) == 2
    error = capsys.readouterr().err
    assert "vae" in error and error.count("\n") == 1
    assert not (tmp_path / "validate.json").exists()


def test_without_the_libraries_to_compare_with_it_says_how_to_get_them(tiny, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["validate", str(tiny)]) == 2
    assert 'pip install "qwenimage_ref[parity]"' in capsys.readouterr().err


# -- public numbers, on the pocket model with a fit of its own


@pytest.fixture(scope="module")
def pocket() -> QwenImage:
    return QwenImage.from_pretrained(POCKET)


def posters(*seeds) -> torch.Tensor:
    scenes = [draw.sample_scene(seed, word_share=0) for seed in seeds]
    return torch.cat([to_tensor(poster(scene), 128) for scene in scenes])


@pytest.fixture(scope="module")
def fit(pocket) -> tuple[torch.Tensor, torch.Tensor]:
    """Factors and bias, as somebody would publish them."""
    with torch.no_grad():
        latents, colours = public_numbers.latents_and_colours(pocket.vae, posters(*range(8, 16)))
    with_one = torch.cat([latents, torch.ones(len(latents), 1)], dim=1)
    solution = torch.linalg.lstsq(with_one, colours).solution
    return solution[:-1], solution[-1]


@torch.no_grad()
def colour_row(vae, fit) -> Row:
    return next(public_numbers.colour_gate(vae, posters(0, 1, 2, 3), fit, within("latent rgb")))


def test_the_colour_gate_lets_the_right_vae_pass(pocket, fit):
    assert colour_row(pocket.vae, fit).ok


@pytest.mark.parametrize("fault", ["channels", "statistics", "colours"])
def test_the_colour_gate_stops_a_vae_with_one_fault(pocket, fit, fault, monkeypatch):
    normalize, decode = pocket.vae.normalize, pocket.vae.decode
    if fault == "channels":
        monkeypatch.setattr(pocket.vae, "normalize", lambda z: normalize(z).roll(1, dims=1))
    elif fault == "statistics":
        monkeypatch.setattr(pocket.vae, "normalize", lambda z: z)
    else:
        monkeypatch.setattr(pocket.vae, "decode", lambda z: decode(z).flip(1))
    assert not colour_row(pocket.vae, fit).ok


def test_the_published_fit_is_of_sixteen_channels():
    factors, bias = public_numbers.published_fit()
    assert factors.shape == (16, 3) and bias.shape == (3,)


@pytest.mark.parametrize("scale, ok", [(1.0, True), (0.5, False)], ids=["right", "time halved"])
@torch.no_grad()
def test_the_velocity_gate_knows_a_model_that_denoises(pocket, scale, ok):
    vae = pocket.vae
    latents = vae.normalize(vae.encode(to_tensor(poster(POSTER), 128))[0])
    step = last(schedule_stage(both(POCKET, POCKET), latents))
    states, _ = pocket.encode_prompt([caption(POSTER)])
    velocity = pocket.transformer(step.x, states, scale * step.time, step.grids)
    row = next(public_numbers.velocity_gate(velocity, step.target, step.time.item()))
    assert row.ok == ok
