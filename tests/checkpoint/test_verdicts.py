"""What `verify` says of each file that is as it should be."""

import shutil
from pathlib import Path

import pytest

from qwenimage_ref.checkpoint import verify

POCKET = Path(__file__).parents[2] / "data" / "pocket"
CONFIGS = [f"{part}/config.json" for part in ("transformer", "text_encoder", "vae")]


@pytest.fixture(scope="module")
def verdict_of(tmp_path_factory) -> dict[str, str]:
    """A whole model of which no hashes are recorded, with two files that nothing reads."""
    folder = tmp_path_factory.mktemp("model") / "pocket"
    shutil.copytree(POCKET, folder)
    record = {path for path in folder.glob("*.json") if path.name != "model_index.json"}
    for path in record:
        path.unlink()
    (folder / "notes.txt").write_text("")
    (folder / "vae" / "preview.png").write_bytes(b"")
    report = verify(folder)
    assert report.ok, str(report)
    return {file.name: file.verdict for file in report.files}


@pytest.mark.parametrize(
    "name",
    ["model_index.json", *CONFIGS, "scheduler/scheduler_config.json", "tokenizer/vocab.json"],
)
def test_configs_and_vocabularies_are_read(verdict_of, name):
    assert verdict_of[name] == "read"


@pytest.mark.parametrize("name", ["notes.txt", "vae/preview.png"])
def test_a_file_that_nothing_reads_is_not_needed(verdict_of, name):
    assert verdict_of[name] == "not needed"


def test_headers_of_weights_agree_with_their_configs(verdict_of):
    weights = [name for name in verdict_of if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert {verdict_of[name] for name in weights} == {"header agrees with config.json"}
