"""Commands of `qwenimage train MODE` that are over in a moment, and folders of data for them."""

import json
import sys
from pathlib import Path

from PIL import Image

from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.posters.draw import draw, sample_scene
from qwenimage_ref.train.columns import CONTROL

PROMPT = "a red circle on a white background"
SMALL = ("--rank", "2", "--targets", "diffusers")


def write_data(folder: Path) -> Path:
    """Write a folder for every kind of data, and a module of rewards"""
    for name in ("pictures", "others", "comparisons", "taught", "controlled", "empty"):
        (folder / name).mkdir()
    for i in range(2):
        for name in ("pictures", "others", "comparisons", "taught", "controlled"):
            picture = Image.fromarray(draw(sample_scene(i + 10 * len(name)), i))
            picture.save(folder / name / f"{i}.png")
        for name in ("pictures", "others"):
            (folder / name / f"{i}.txt").write_text(PROMPT)
    table(folder / "comparisons", [{"prompt": PROMPT, "winner": "0.png", "loser": "1.png"}])
    rows = [{"prompt": PROMPT, "image": f"{i}.png", "seed": i} for i in range(2)]
    table(folder / "taught", rows)
    rows = [{"prompt": PROMPT, "image": f"{i}.png", CONTROL: f"{i}.png"} for i in range(2)]
    table(folder / "controlled", rows)
    (folder / "prompts.txt").write_text(f"{PROMPT}\na blue star on a white background\n")
    sys.modules.pop("rewards", None)  # that of another test
    (folder / "rewards.py").write_text(
        "def brightness(pictures, prompt):\n"
        "    return [sum(p.convert('L').resize((1, 1)).getdata()) for p in pictures]\n"
        "def broken(pictures, prompt):\n"
        "    return [float('nan')] * len(pictures)\n"
        "def short(pictures, prompt):\n"
        "    return [1.0]\n"
        "def failing(pictures, prompt):\n"
        "    return {}['nothing']\n"
        "def equal(pictures, prompt):\n"
        "    return [1.0] * len(pictures)\n"
    )
    return folder


def table(folder: Path, rows: list[dict]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(text)


GRPO = ("--reward", "rewards:brightness", "--group", "2", "--sampling-steps", "2", "--cfg", "1")
ARGUMENTS = {  # mode: its data, and what makes it small
    "lora": (("--data", "pictures"), SMALL),
    "full": (("--data", "pictures"), ()),
    "control": (("--data", "controlled"), ()),
    "dpo": (("--data", "comparisons"), SMALL),
    "grpo": (("--prompts", "prompts.txt"), (*SMALL, *GRPO, "--batch", "1")),
    "distill": (("--data", "taught"), (*SMALL, "--student-steps", "1")),
    "imitate": (
        ("--prompts", "prompts.txt"), (*SMALL, "--student-steps", "1", "--between", "2")
    ),
    "dmd2": (("--prompts", "prompts.txt"), (*SMALL, "--every", "2")),
    "differential": (("--unwanted", "pictures", "--wanted", "others"), SMALL),
}  # fmt: skip


def arguments(data: Path, mode: str, *more, steps=2, to=None, runs="runs") -> list[str]:
    """The words of a command, on the data that `write_data` wrote"""
    files, small = ARGUMENTS[mode]
    paths = [name if name.startswith("-") else str(data / name) for name in files]
    to = to or ("whole" if MODES[mode].whole or "--whole" in more else "my.safetensors")
    return [
        *("train", mode, *paths, *small, "--steps", str(steps), "--to", str(data / to)),
        *("--runs", str(data / runs), "--lr", "1e-3", *more),
    ]
