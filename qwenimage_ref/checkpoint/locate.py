"""Where the official files are, if they are on this machine at all. Nothing is ever downloaded."""

import os
from pathlib import Path


def find(part: str) -> Path | None:
    """A file or folder of an official model, such as "tokenizer", or None where there is none.

    The folder named by $QWENIMAGE_OFFICIAL comes first, then the models Qwen/Qwen-Image* in the
    local hub cache.
    """
    for model in _models():
        if (model / part).exists():
            return model / part
    return None


def _models() -> list[Path]:
    from huggingface_hub import constants  # the hub's own reading of its environment variables

    named = os.environ.get("QWENIMAGE_OFFICIAL")
    repositories = sorted(Path(constants.HF_HUB_CACHE).glob("models--Qwen--Qwen-Image*"))
    ids = [path.name.removeprefix("models--").replace("--", "/") for path in repositories]
    cached = [snapshot for snapshot in map(_snapshot, ids) if snapshot]
    return [*([Path(named).expanduser()] if named else []), *cached]


def resolve(folder_or_hub_id: str | Path) -> Path:
    """A folder, or the cached snapshot of a hub id such as "Qwen/Qwen-Image-2512".

    Of several snapshots it is the one that the hub's own library takes, the revision in refs/main.
    Raises FileNotFoundError with the remedy; nothing is downloaded.
    """
    # careful: os.path, because Path raises for unknown users and for names that are too long
    folder = os.path.expanduser(folder_or_hub_id)
    if os.path.isdir(folder):
        return Path(folder)
    if snapshot := _snapshot(str(folder_or_hub_id)):
        return snapshot
    name = str(folder_or_hub_id) or "''"
    raise FileNotFoundError(
        f"{name} is neither a folder nor a model in the local hub cache; "
        "check the path, or download the model first (nothing is downloaded from here)"
    )


def _snapshot(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
