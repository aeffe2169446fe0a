"""Pictures in the folder layout that GenEval's own scorer reads (github.com/djghosh13/geneval).

    FOLDER/00000/metadata.jsonl        line 0 of evaluation_metadata.jsonl
    FOLDER/00000/samples/0000.png      and so on; each picture is written whole or not at all

Its evaluation/evaluate_images.py looks at nothing else: settings.json beside the numbered folders
says how the pictures were painted, so that a later run continues with the same settings or none.
"""

import hashlib
import json
from pathlib import Path

from tqdm import tqdm

from ..files import parse_json, read_bytes, read_json, whole_file

SETTINGS = "settings.json"
KEYS = {"tag": str, "prompt": str, "include": list}  # what the scorer reads of every line


class PromptsError(ValueError):
    """A file that is not in the format of GenEval's evaluation_metadata.jsonl."""


def read_prompts(file: Path) -> list[dict]:
    """The lines of an evaluation_metadata.jsonl. Raises PromptsError, which names the line."""
    try:
        lines = read_bytes(file).rstrip(b"\n").split(b"\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PromptsError(f"--prompts {file} cannot be read ({reason})") from None
    return [_metadata(file, number, line) for number, line in enumerate(lines, 1)]


def _metadata(file: Path, number: int, line: bytes) -> dict:
    try:
        metadata = parse_json(line)
    except ValueError:
        metadata = None
    good = isinstance(metadata, dict)
    if not good or not all(isinstance(metadata.get(k), kind) for k, kind in KEYS.items()):
        raise PromptsError(
            f"--prompts {file}: line {number} must be a JSON object with tag, prompt and include, "
            "as in GenEval's evaluation_metadata.jsonl"
        )
    if not metadata["prompt"].strip():
        raise PromptsError(
            f"--prompts {file}: line {number} must have a prompt, got an empty one; write one"
        )
    return metadata


def missing(to: Path, prompts: int, samples: int) -> list[tuple[int, int]]:
    """Prompt and sample of each picture that is not in the folder yet, in order."""
    pairs = ((i, n) for i in range(prompts) for n in range(samples))
    return [pair for pair in pairs if not picture_file(to, *pair).exists()]


def picture_file(to: Path, prompt: int, sample: int) -> Path:
    return to / f"{prompt:05}" / "samples" / f"{sample:04}.png"


def prepare(to: Path, prompts: list[dict], settings: dict) -> None:
    """Make the folders with their metadata, or continue in them.

    settings: all that the pictures depend on but the prompts. Raises ValueError, one line, where
    the folder holds something else, or pictures of other prompts or settings.
    """
    text = "\n".join(json.dumps(metadata, sort_keys=True) for metadata in prompts)
    settings = settings | {"prompts": hashlib.sha256(text.encode()).hexdigest()}
    _demand_same(to, settings)
    to.mkdir(parents=True, exist_ok=True)
    # careful: the settings come first, or a run that is stopped here could not be continued
    with whole_file(to / SETTINGS) as partial:
        partial.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for number, metadata in enumerate(prompts):
        file = to / f"{number:05}" / "metadata.jsonl"
        file.parent.joinpath("samples").mkdir(parents=True, exist_ok=True)
        if not file.exists():
            with whole_file(file) as partial:
                partial.write_text(json.dumps(metadata), encoding="utf-8")


def _demand_same(to: Path, settings: dict) -> None:
    if to.exists() and not to.is_dir():
        raise ValueError(f"--to must be a folder, got the file {to}; choose another")
    if not to.exists() or not any(to.iterdir()):
        return
    try:
        stored = dict(read_json(to / SETTINGS))
    except (OSError, ValueError, TypeError):
        raise ValueError(
            f"--to {to} must be new, empty or from an earlier run, and has no {SETTINGS}; choose "
            "another"
        ) from None
    for key, value in settings.items():
        if stored.get(key) != value:
            shown = "other prompts" if key == "prompts" else f"{key} {stored.get(key)}, not {value}"
            raise ValueError(
                f"--to must be new or from the same run, got {to} with {shown}; "
                "repeat that or choose another"
            )


def paint(pipe, prompts: list[dict], to: Path, samples: int, settings: dict, **options) -> int:
    """Paint what is missing -> the number of pictures painted; `prepare` comes first

    settings: steps, cfg, negative, width, height, seed. Sample n of every prompt starts from the
    noise of seed + n, so that `qwenimage paint --seed` makes it again. options: batch, samples of
    one prompt painted together, default 1; quiet: no progress bar.
    """
    batch, quiet = options.get("batch", 1), options.get("quiet", False)
    rest = missing(to, len(prompts), samples)
    total, painted = len(prompts) * samples, len(rest)
    with tqdm(total=total, initial=total - painted, unit="picture", disable=quiet) as bar:
        while rest:
            number = rest[0][0]
            chosen = [sample for prompt, sample in rest[:batch] if prompt == number]
            pictures = pipe(
                [prompts[number]["prompt"]] * len(chosen),
                negative_prompt=settings["negative"],
                true_cfg_scale=settings["cfg"],
                height=settings["height"],
                width=settings["width"],
                num_inference_steps=settings["steps"],
                seed=[settings["seed"] + sample for sample in chosen],
            )
            for sample, picture in zip(chosen, pictures):
                with whole_file(picture_file(to, number, sample)) as partial:
                    picture.save(partial, format="PNG")
            bar.update(len(chosen))
            rest = rest[len(chosen) :]
    return painted
