"""A pocket model that edits: the pocket painter taught to read pictures and to follow instructions.

    python -m qwenimage_ref.pocket.editor NAME     one of LESSONS; resumes where it was stopped

Text tower, MMDiT and a new vision tower learn together, by flow matching on the poster that an
instruction asks for. Two arms see the pictures on one path alone: `vision` without the tokens that
stand behind the target's, `vae` without those in the prompt.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from ..checkpoint import save
from ..checkpoint.config_files import Configs, write_json, write_small_files
from ..checkpoint.model_folder import RECOMMENDED, StoredTextEncoder
from ..conditions import edit_prefix
from ..config import VisionConfig
from ..limits import TOKEN
from ..pipeline import QwenImage
from ..repository import POCKET, ROOT, in_a_clone
from ..sampler import pack
from ..train.loop import Run
from ..train.state import digest
from ..vision import Vision
from .edit_lessons import LESSONS, Batch, EditLesson, Latents, batch

VISION = VisionConfig(  # the tower that is trained; every block sees the whole picture
    depth=3,
    hidden_size=96,
    num_heads=4,
    intermediate_size=192,
    out_hidden_size=192,
    fullatt_block_indexes=(0, 1, 2),
)
READING_SIDE = 112  # area of the vision tower's copies in Edit-Plus, as a square's side


class Editor(nn.Module):
    """The three networks that learn together"""

    def __init__(self, pipe: QwenImage):
        super().__init__()
        self.visual, self.text_encoder = pipe.vision, pipe.text_encoder
        self.transformer = pipe.transformer

    def matrices(self) -> list[str]:
        """Names of the matrices inside the layers, which Muon trains."""
        marks = (".layers.", ".transformer_blocks.", ".blocks.")
        return [
            name for name, parameter in self.named_parameters()
            if parameter.ndim == 2 and any(mark in f".{name}" for mark in marks)
        ]  # fmt: skip


def write_editor(folder: Path, pipe: QwenImage, lesson: EditLesson) -> None:
    """The networks of a pipeline as an official folder of the lesson's class, in bf16"""
    stored = StoredTextEncoder(pipe.text_encoder, pipe.vision)
    save(stored, folder / "text_encoder", stem="model", dtype=torch.bfloat16)
    save(pipe.transformer, folder / "transformer", dtype=torch.bfloat16)
    save(pipe.vae, folder / "vae", dtype=torch.bfloat16)
    for name in ("tokenizer", "processor"):
        pipe.tokenizer.save(folder / name)
    configs = Configs(
        dataclasses.replace(pipe.transformer.config, zero_cond_t=lesson.zero_cond_t),
        pipe.text_encoder.config, pipe.vision.config, pipe.vae.config, pipe.scheduler,
        lesson.pipeline,
    )  # fmt: skip
    write_small_files(folder, configs, pipe.tokenizer.added)
    recommended = {"sample_size": 128, "reading_size": READING_SIDE, "num_inference_steps": 20}
    write_json(folder / RECOMMENDED, recommended)


def new_editor(base: Path, folder: Path, lesson: EditLesson) -> QwenImage:
    """The model of a folder as the editor of a lesson; a painter is given a new vision tower"""
    pipe = QwenImage.from_pretrained(base)
    if pipe.vision is None:
        torch.manual_seed(lesson.recipe.seed)
        pipe.vision = Vision(VISION)
        for name, parameter in pipe.vision.named_parameters():
            if parameter.ndim > 1 and not name.startswith("merger"):
                nn.init.xavier_uniform_(parameter.flatten(1))
    write_editor(folder, pipe, lesson)
    return QwenImage.from_pretrained(folder)


# -- training -------------------------------------------------------------------------------------


def loss_of(
    editor: Editor, prefix: int, drawn: Batch, positions: Callable | None = None
) -> torch.Tensor:
    """-> () flow matching on the target; the first `prefix` text states are dropped

    positions: grids, the target's first, -> (tokens, 3), in place of MSRoPE's.
    """
    states = None
    if drawn.patches is not None:
        states = editor.visual(drawn.patches, drawn.patch_grids)
    txt = editor.text_encoder(drawn.ids, None, drawn.places, states)[:, prefix:]
    level = drawn.sigma.view(-1, 1, 1, 1)
    noisy = (1 - level) * drawn.data + level * drawn.noise
    every = [noisy, *drawn.conditions]
    img = torch.cat([pack(each) for each in every], dim=1)
    grids = [(1, each.shape[2] * 8 // TOKEN, each.shape[3] * 8 // TOKEN) for each in every]
    own = None if positions is None else positions(grids)
    mask = drawn.mask[:, prefix:]
    velocity = editor.transformer(img, txt, drawn.sigma, grids, mask, img_positions=own)
    return (velocity.float() - pack(drawn.noise - drawn.data)).pow(2).mean()


def train(pipe: QwenImage, lesson: EditLesson, folder: Path, **fit) -> None:
    """Train text tower, vision tower and MMDiT of a pipeline; leaves the averaged weights there"""
    editor = Editor(pipe).requires_grad_(True)
    own = digest(pipe.vae)
    origin = f"{own} {lesson!r}" + (f" {digest(editor)}" if lesson.after else "")
    run = Run(editor, lesson.recipe, folder, editor.matrices(), origin=origin)
    latents = Latents(pipe, lesson, folder / f"latents-{own}")
    prefix = edit_prefix(pipe.tokenizer)

    def loss_at(step):
        return loss_of(editor, prefix, batch(pipe, lesson, latents, step))

    run.fit(loss_at, **fit)
    run.use_average()
    editor.requires_grad_(False)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.editor")
    parser.add_argument("name", choices=LESSONS)
    parser.add_argument("--base", type=Path, default=POCKET, metavar="FOLDER")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "editor", metavar="FOLDER")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="default: RUNS/NAME/editor")
    options = parser.parse_args(arguments)
    lesson, runs = LESSONS[options.name], options.runs / options.name
    base = options.runs / lesson.after / "editor" if lesson.after else options.base
    if lesson.after and not base.is_dir():
        parser.exit(1, f"{base} must be there; train {lesson.after!r} first, which goes before\n")
    pipe = new_editor(base, runs / "start", lesson)
    train(pipe, lesson, runs)
    write_editor(options.to or runs / "editor", pipe, lesson)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
