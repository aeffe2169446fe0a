"""A pocket Edit-Lowres-Fix: a LoRA with which an editor reads pictures of half the target's sides.

    python -m qwenimage_ref.pocket.lowres EDITOR     ten minutes of one core; resumes

The rows and columns of these pictures are spread over the target's (`spread_positions`). The editor
was trained on pictures of the target's size and loses them there. Vision tower and text encoder
stay as they are.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from ..adapt import lora
from ..conditions import edit_prefix, spread_positions
from ..pipeline import QwenImage
from ..repository import ROOT, in_a_clone
from ..train.loop import Recipe, Run
from ..train.state import digest
from .edit_lessons import EditLesson, Latents, batch, pictures
from .editor import Editor, loss_of

RANK = 16
LESSON = EditLesson(
    Recipe(steps=200, batch=32, lr=2e-3, warmup=20, decay_from=0.3, ema=0.98),
    first=3_000_000,
    examples=6_400,
    questions=0.0,
)


def halved(poster: Image.Image) -> Image.Image:
    """A picture of half the sides"""
    return poster.resize((poster.width // 2, poster.height // 2), Image.Resampling.LANCZOS)


class HalfSized(Latents):
    """Latents of the wanted posters, and of the pictures at half their sides"""

    @torch.no_grad()
    def _encoded(self, number: int) -> list[torch.Tensor]:
        asked = self.lesson.example(number)
        small = [halved(Image.fromarray(each)) for each in pictures(asked)]
        every = [Image.fromarray(asked.wanted.copy()), *small]
        return [self._normalised([each])[0] for each in every]


def train(pipe: QwenImage, folder: Path, lesson: EditLesson = LESSON, **fit) -> lora.LoRA:
    """-> the trained adapter on pipe.transformer, with its averaged weights"""
    editor = Editor(pipe).requires_grad_(False)
    origin = f"{digest(pipe.vae)} {digest(editor)} {lesson!r}"
    latents = HalfSized(pipe, lesson, folder / f"latents-{digest(pipe.vae)}")
    targets, prefix = lora.TARGETS["Lightning"], edit_prefix(pipe.tokenizer)
    adapter = lora.inject(pipe.transformer, targets, RANK, seed=lesson.recipe.seed)
    run = Run(adapter, lesson.recipe, folder, origin=origin)

    def loss_at(step):
        return loss_of(editor, prefix, batch(pipe, lesson, latents, step), spread_positions)

    run.fit(loss_at, **fit)
    run.use_average()
    return adapter.requires_grad_(False)


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.lowres")
    parser.add_argument("editor", type=Path, metavar="EDITOR", help="an official edit folder")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "lowres", metavar="FOLDER")
    options = parser.parse_args(arguments)
    pipe = QwenImage.from_pretrained(options.editor)
    train(pipe, options.runs).to(torch.bfloat16)
    file = options.runs / "lowres_fix.safetensors"
    lora.save(pipe.transformer, file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
