"""What `verify` says of each file that is as it should be."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from qwenimage_ref.checkpoint import verify

POCKET = Path(__file__).parents[2] / "data" / "pocket"
# the folder's face exports a function of the same name
verify_module = sys.modules["qwenimage_ref.checkpoint.verify"]
SHARD, INDEX = "a.safetensors", "a.safetensors.index.json"
CONFIGS = [f"{part}/config.json" for part in ("transformer", "text_encoder", "vae")]


@pytest.fixture(scope="module")
def verdict_of(tmp_path_factory) -> dict[str, str]:
    """A whole model of which no hashes are recorded, with two files that nothing reads."""
    folder = tmp_path_factory.mktemp("model") / "pocket"
    shutil.copytree(POCKET, folder)
    (folder / "training.json").unlink()
    (folder / "notes.txt").write_text("")
    (folder / "vae" / "preview.png").write_bytes(b"")
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / SHARD)
    tensors = load_file(folder / "vae" / SHARD)
    total = {"total_size": sum(tensor.nbytes for tensor in tensors.values())}
    index = {"metadata": total, "weight_map": dict.fromkeys(tensors, SHARD)}
    (folder / "vae" / INDEX).write_text(json.dumps(index))
    report = verify(folder)
    assert report.ok, str(report)
    return {file.name: file.verdict for file in report.files}


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json", "recommended.json", *CONFIGS, "scheduler/scheduler_config.json",
        "tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/added_tokens.json",
        "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", f"vae/{INDEX}",
    ],
)  # fmt: skip
def test_configs_and_vocabularies_are_read(verdict_of, name):
    assert verdict_of[name] == "read"


@pytest.mark.parametrize("name", ["notes.txt", "vae/preview.png"])
def test_a_file_that_nothing_reads_is_not_needed(verdict_of, name):
    assert verdict_of[name] == "not needed"


def test_headers_of_weights_agree_with_their_configs(verdict_of):
    weights = [name for name in verdict_of if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert {verdict_of[name] for name in weights} == {"header agrees with config.json"}


@pytest.mark.parametrize(
    "name",
    ["model_index.json", *CONFIGS, "scheduler/scheduler_config.json"],
)
def test_the_verdict_on_a_damaged_file_is_below_the_table(tmp_path, name):
    folder = tmp_path / "pocket"
    shutil.copytree(POCKET, folder)
    (folder / "training.json").unlink()
    (folder / name).write_bytes(b"")
    report = verify(folder)
    (line,) = report.findings
    assert name in line
    assert [file.name for file in report.files if file.verdict == "see below"] == [name]


def test_a_file_that_its_record_knows_has_its_size_or_sha256_for_a_verdict(tmp_path):
    folder = tmp_path / "pocket"
    shutil.copytree(POCKET, folder)
    report = verify(folder)
    assert report.compared == "compared with its own training.json" and not report.published
    assert {file.verdict for file in report.files if file.name.endswith("config.json")} == {
        "sha256 as it should be"
    }


@pytest.mark.parametrize("part", ["model_index.json", "vae"])
def test_a_folder_with_hardly_a_model_is_looked_through_and_its_table_printed(tmp_path, part):
    if part == "vae":
        (tmp_path / part).mkdir()
    else:
        (tmp_path / part).write_bytes((POCKET / part).read_bytes())
    report = verify(tmp_path)
    assert not report.ok
    assert str(report).endswith(f"bytes: {len(report.findings)} findings")


def test_a_bar_counts_the_bytes_that_are_hashed(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "pocket"
    shutil.copytree(POCKET, folder)
    bars = []

    class Bar(verify_module.tqdm):
        def __init__(self, **settings):
            super().__init__(**settings | {"delay": 0})
            bars.append((self, settings))

        def close(self):
            self.refresh()
            super().close()

    monkeypatch.setattr(verify_module, "tqdm", Bar)
    assert verify(folder, hash=True).ok
    ((bar, settings),) = bars
    recorded = json.loads((folder / "training.json").read_text())["sha256"]
    assert bar.n == bar.total == sum((folder / name).stat().st_size for name in recorded)
    assert re.search(r"sha256: 100%.* [\d.]+M/[\d.]+M .*[kMG]?B/s", capsys.readouterr().err)
    assert settings["delay"] > 0  # what takes a moment has no bar
