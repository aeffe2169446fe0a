"""What is missing, cut short or altered in a folder of weights is named, all of it at once."""

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import speed
from helpers.tiny_model import TINY
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint import CheckpointError, verify
from qwenimage_ref.checkpoint.config_files import Configs, write_small_files
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import FORGED, STEMS, stored_network
from qwenimage_ref.checkpoint.published_hashes import QWEN_IMAGE_2512
from qwenimage_ref.checkpoint.shards import SHARD_BYTES, index_json, shard_layout
from qwenimage_ref.cli import main
from qwenimage_ref.tokenizer import Tokenizer

POCKET = Path(__file__).parents[2] / "data" / "pocket"
# the folder's face exports a function of the same name
verify_module = sys.modules["qwenimage_ref.checkpoint.verify"]
MMDIT = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def pocket(tmp_path) -> Path:
    return Path(shutil.copytree(POCKET, tmp_path / "pocket"))


@pytest.fixture
def unrecorded(pocket) -> Path:
    """The same without the list of sha256 values: like any folder of which nothing is published."""
    (pocket / "training.json").unlink()
    return pocket


def findings(folder: Path, **how) -> list[str]:
    report = verify(folder, **how)
    assert report.ok == (not report.findings)
    assert all(line.isprintable() and len(line) < 600 for line in report.findings)
    return [line.replace(f"{folder}/", "") for line in report.findings]


def verdicts(folder: Path, **how) -> dict[str, str]:
    return {file.name: file.verdict for file in verify(folder, **how).files}


def change(file: Path, at: int):
    """Turn one bit."""
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


# -- the pocket model -----------------------------------------------------------------------------


def test_the_pocket_model_is_whole_to_the_last_byte():
    report = verify(POCKET, hash=True)
    assert report.ok, str(report)
    recorded = json.loads((POCKET / "training.json").read_text())["sha256"]
    agreed = [file.name for file in report.files if file.verdict == "sha256 as it should be"]
    assert sorted(agreed) == sorted(recorded)
    assert report.bytes == sum(file.stat().st_size for file in POCKET.rglob("*") if file.is_file())


def test_a_turned_bit_among_the_weights_is_found_by_its_hash_alone(pocket):
    change(pocket / MMDIT, -1)
    assert findings(pocket) == []
    (line,) = findings(pocket, hash=True)
    assert line.startswith(f"{MMDIT} is altered") and line.endswith("fetch it again")


def test_everything_that_is_wrong_is_told_at_once(pocket):
    (pocket / "model_index.json").unlink()
    (pocket / "vae" / "config.json").write_text("{")
    (pocket / "tokenizer" / "merges.txt").unlink()
    shutil.rmtree(pocket / "scheduler")
    with (pocket / MMDIT).open("r+b") as file:
        file.truncate(file.seek(0, 2) // 2)
    lines = findings(pocket)
    missing = {line.split()[0] for line in lines if "is missing; finish the download" in line}
    damaged = {line.split()[0] for line in lines if "fetch it again" in line}
    assert missing == {
        "model_index.json",
        "scheduler/scheduler_config.json",
        "tokenizer/merges.txt",
    }
    assert damaged == {"vae/config.json", MMDIT}
    assert len(lines) == 5  # one for each


def test_a_file_that_belongs_to_another_release_is_called_by_its_name(pocket, monkeypatch):
    other = {hashlib.sha256(b"{}").hexdigest(): (2, "Qwen-Image-Edit's vae/config.json")}
    monkeypatch.setattr(verify_module, "NAMES", other)
    (pocket / "vae" / "config.json").write_bytes(b"{}")
    assert findings(pocket)[0].startswith("vae/config.json is Qwen-Image-Edit's vae/config.json")


# -- a folder of which no list exists -------------------------------------------------------------


def test_a_whole_folder_without_a_list_is_whole_and_says_that_no_hash_was_compared(unrecorded):
    report = verify(unrecorded, hash=True)
    assert report.ok, str(report)
    assert report.compared == "of these weights no sha256 is published"
    assert not any("sha256" in file.verdict for file in report.files)
    assert verdicts(unrecorded)[MMDIT] == "header agrees with config.json"


def test_a_file_that_several_releases_share_is_known_by_its_hash(unrecorded, monkeypatch):
    content = (unrecorded / MMDIT).read_bytes()
    shared = {hashlib.sha256(content).hexdigest(): (len(content), "every release's transformer")}
    monkeypatch.setattr(verify_module, "NAMES", shared)
    assert verdicts(unrecorded, hash=True)[MMDIT] == "sha256 of every release's transformer"
    change(unrecorded / MMDIT, -1)
    assert verdicts(unrecorded, hash=True)[MMDIT] == "sha256 is none of the published"


@pytest.mark.parametrize(
    "name, line",
    [
        ("model_index.json", "holds no model_index.json"),
        ("vae", "vae is missing"),
        ("vae/config.json", "vae/config.json is missing"),
        ("vae/diffusion_pytorch_model.safetensors", "vae holds no .safetensors file"),
        ("text_encoder/model.safetensors", "text_encoder holds no .safetensors file"),
        ("scheduler/scheduler_config.json", "scheduler_config.json is missing"),
        ("tokenizer/vocab.json", "tokenizer/vocab.json is missing"),
    ],
)
def test_what_is_missing_is_named(unrecorded, name, line):
    path = unrecorded / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert any(line in found for found in findings(unrecorded))


def test_a_file_that_is_cut_short_is_named(unrecorded):
    with (unrecorded / MMDIT).open("r+b") as file:
        file.truncate(file.seek(0, 2) - 1)
    (line,) = findings(unrecorded)
    assert line.startswith(f"{MMDIT} is cut short or damaged") and "fetch it again" in line


def test_missing_unknown_and_misshapen_tensors_are_named(unrecorded):
    file = unrecorded / MMDIT
    tensors = load_file(file)
    del tensors["proj_out.bias"]
    tensors |= {"proj_out.scale": torch.ones(2), "img_in.bias": torch.ones(3, dtype=torch.int64)}
    save_file(tensors, file)
    shapes, types, keys = findings(unrecorded)
    assert "img_in.bias is [3] instead of [" in shapes
    assert "img_in.bias holds I64" in types
    assert "1 tensors are missing (proj_out.bias) and 1 are not known (proj_out.scale)" in keys


@pytest.mark.parametrize(
    "part, change, line",
    [
        ("transformer", {"joint_attention_dim": 40}, "text states are 48 wide, the transformer "),
        ("text_encoder", {"vocab_size": 600}, "must be below the text encoder's 600 rows, got 703"),
    ],
)
def test_parts_of_different_models_are_a_finding(tmp_path, part, change, line):
    forge(tmp_path / "m", replace(TINY, **{part: replace(getattr(TINY, part), **change)}))
    (found,) = findings(tmp_path / "m")
    assert line in found and found.endswith("of different models")


def test_a_model_of_an_unsupported_class_is_a_finding(unrecorded):
    (unrecorded / "model_index.json").write_text('{"_class_name": "QwenImageOtherPipeline"}')
    (line,) = findings(unrecorded)
    assert "must be one of QwenImagePipeline, QwenImageEditPipeline" in line


def test_weights_that_no_index_names_are_pointed_out(unrecorded):
    part = unrecorded / "vae"
    single = part / "diffusion_pytorch_model.safetensors"
    held = load_file(single)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in held.values())},
        "weight_map": dict.fromkeys(held, "a.safetensors"),
    }
    shutil.copy(single, part / "a.safetensors")
    file = part / "diffusion_pytorch_model.safetensors.index.json"
    file.write_text(json.dumps(index))
    assert findings(unrecorded) == []
    assert verdicts(unrecorded)["vae/diffusion_pytorch_model.safetensors"] == "never read"


@pytest.mark.parametrize("size", [0, 1, None, "7225758", [], 10**30])
def test_a_wrong_total_size_in_an_index_is_named(unrecorded, size):
    part = unrecorded / "vae"
    (part / "diffusion_pytorch_model.safetensors").rename(part / "a.safetensors")
    weight_map = dict.fromkeys(load_file(part / "a.safetensors"), "a.safetensors")
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (part / "a.safetensors.index.json").write_text(json.dumps(index))
    (line,) = findings(unrecorded)
    assert line.startswith("vae/a.safetensors.index.json: total_size is")


@pytest.mark.parametrize(
    "record",
    ["", "[]", '{"sha256": 3}', '{"sha256": {"../x": "0"}}', '{"sha256": {"/etc/passwd": 1}}',
     '{"sha256": {"vae": {}}}', "[" * 10_000],
)  # fmt: skip
def test_a_record_that_is_none_or_points_elsewhere_is_not_followed(pocket, record):
    (pocket / "training.json").write_text(record)
    assert findings(pocket, hash=True) == []


def test_a_folder_that_holds_no_model_is_unusable_input(tmp_path):
    with pytest.raises(CheckpointError, match="give the folder that contains transformer/"):
        verify(tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
        verify(tmp_path / "nowhere")


# -- the command ----------------------------------------------------------------------------------


def test_the_command_ends_with_0_1_or_2(pocket, capsys):
    assert main(["verify", str(pocket)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[-1].startswith("16 files, ") and table[-1].endswith(" bytes: whole")
    (pocket / "vae" / "config.json").unlink()
    assert main(["verify", str(pocket), "--hash"]) == 1
    table = capsys.readouterr().out.splitlines()
    assert "vae/config.json is missing; finish the download" in table[-2]
    assert table[-1].endswith("bytes: 1 finding")
    assert main(["verify", str(pocket / "vae")]) == 2
    assert "give the folder that contains" in capsys.readouterr().err


# -- the official model ---------------------------------------------------------------------------


def test_the_published_list_has_all_thirty_files():
    assert len(QWEN_IMAGE_2512) == 30
    hashes = [sha256 for _, sha256 in QWEN_IMAGE_2512.values()]
    assert len(set(hashes)) == 30
    text = "".join(f"{QWEN_IMAGE_2512[name][1]}  ./{name}\n" for name in sorted(QWEN_IMAGE_2512))
    # the sha256 of the list itself is published too
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "db98eb84cca7a34853526a3d2cf7ef2ec63cf5ffc2adcdf82f3ea92b3c93c656"
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The released model with holes in place of the numbers: 57.7 GB that take no room."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copytree(POCKET / "tokenizer", folder / "tokenizer")
    write_small_files(folder, Configs(), Tokenizer.load(folder / "tokenizer").added)
    for name in ("tokenizer/chat_template.jinja", "text_encoder/generation_config.json"):
        (folder / name).write_text("{}")
    for part, stem in STEMS.items():
        network = stored_network(folder, part)
        for name, (first, places) in shard_layout(
            network, SHARD_BYTES, stem, torch.bfloat16
        ).items():
            with (folder / part / name).open("wb") as file:
                file.write(first)
                file.truncate(max(stop for _, stop in places.values()))
        if part != "vae":
            index = index_json(network, SHARD_BYTES, stem, torch.bfloat16)
            (folder / part / f"{stem}.safetensors.index.json").write_bytes(index)
    return folder


NOT_OURS = [  # to ship
    *(name for name in QWEN_IMAGE_2512 if name.startswith("tokenizer/")),
    "text_encoder/config.json",
    "text_encoder/generation_config.json",
]


@pytest.fixture
def released(store, tmp_path, monkeypatch) -> Path:
    """A snapshot as the hub's cache has it, all links; what is not ours has a stand-in."""
    folder = tmp_path / "snapshot"
    for file in store.rglob("*"):
        if file.is_file():
            link = folder / file.relative_to(store)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    stand_ins = {
        name: (None, hashlib.sha256((store / name).read_bytes()).hexdigest()) for name in NOT_OURS
    }
    monkeypatch.setattr(verify_module, "QWEN_IMAGE_2512", QWEN_IMAGE_2512 | stand_ins)
    return folder


def test_all_of_qwen_image_2512_is_looked_through_in_seconds(released):
    with speed.at_most(10):
        report = verify(released)
    assert report.ok, str(report)
    assert report.compared == "compared with Qwen-Image-2512 as published"
    weights = [file for file in report.files if file.name.endswith(".safetensors")]
    assert len(weights) == 14 and {file.verdict for file in weights} == {"size as published"}
    assert sum(file.bytes for file in weights) == 57_699_249_390


def test_a_shard_of_the_release_that_is_one_byte_short_is_named_with_both_sizes(released):
    name = f"{MMDIT.removesuffix('.safetensors')}-00009-of-00009.safetensors"
    (released / name).unlink()
    with (released / name).open("wb") as file:
        file.truncate(1_170_918_839)
    (line,) = findings(released)
    assert line == (
        f"{name} is cut short: 1,170,918,839 bytes instead of 1,170,918,840; fetch it again"
    )


def test_every_missing_shard_of_the_release_is_named(released):
    names = [f"text_encoder/model-0000{number}-of-00004.safetensors" for number in (1, 3, 4)]
    for name in names:
        (released / name).unlink()
    assert findings(released) == [f"{name} is missing; finish the download" for name in names]


def test_a_release_is_known_even_if_one_of_its_configs_is_altered(released):
    config = released / "transformer" / "config.json"
    text = config.read_text().replace("60", "59")
    config.unlink()
    config.write_text(text)
    (line,) = findings(released)  # not the sixty blocks that it no longer speaks of
    assert line.startswith("transformer/config.json is altered: its sha256 begins")


def test_a_forged_folder_is_never_taken_for_the_release(released):
    (released / FORGED).write_text("{}")
    report = verify(released, hash=True)
    assert report.ok and report.compared == "random weights, of which no sha256 is published"
