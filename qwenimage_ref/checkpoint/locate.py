"""Where the official files lie, if they are on this machine at all. Nothing is ever downloaded."""

import os
from pathlib import Path

from ..repository import ROOT

# In the project's own checks the small official files lie here, beside the repository.
BESIDE = ROOT / ".." / "shared" / "spec" / "official" / "Qwen-Image-2512"


def find(part: str) -> Path | None:
    """A file or folder of an official model, such as "tokenizer", or None where there is none.

    Looked for in the folder named by $QWENIMAGE_OFFICIAL, then among the models Qwen/Qwen-Image*
    in the cache of the Hugging Face hub, then beside the repository.
    """
    for model in _models():
        if (model / part).exists():
            return model / part
    return None


def _models() -> list[Path]:
    named = os.environ.get("QWENIMAGE_OFFICIAL")
    snapshots = _hub_cache().glob("models--Qwen--Qwen-Image*/snapshots/*")
    return [*([Path(named).expanduser()] if named else []), *sorted(snapshots), BESIDE]


def _hub_cache() -> Path:
    """The folder in which the hub's own library keeps what it has downloaded."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", Path(home) / "hub")).expanduser()


def resolve(folder_or_hub_id: str | Path) -> Path:
    """A folder, or the newest cached snapshot of a hub id such as "Qwen/Qwen-Image-2512".

    Raises FileNotFoundError with the remedy; nothing is downloaded.
    """
    folder = Path(folder_or_hub_id).expanduser()
    if folder.is_dir():
        return folder
    repository = _hub_cache() / ("models--" + str(folder_or_hub_id).replace("/", "--"))
    snapshots = sorted(repository.glob("snapshots/*"), key=lambda path: path.stat().st_mtime)
    if snapshots:
        return snapshots[-1]
    raise FileNotFoundError(
        f"{folder_or_hub_id} is neither a folder nor a model in the local hub cache; "
        "check the path, or download the model first (nothing is downloaded from here)"
    )
