"""Trained variants of the pocket model, kept without what they share with the painter.

    python -m qwenimage_ref.pocket.variants write NAME FOLDER    a variant as an official folder
    python -m qwenimage_ref.pocket.variants keep NAME FOLDER     a trained folder, as a variant

A variant's folder under data/variants holds the files in which it differs from data/pocket, its
MMDiT as scaled fp8: half the bytes of bf16.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from ..checkpoint import save
from ..checkpoint.packed_linear import PackedLinear
from ..files import CheckpointError
from ..formats.fp8 import save_fp8
from ..mmdit import MMDiT
from ..pipeline import QwenImage
from ..repository import CLONE_HINT, DATA, POCKET, in_a_clone

VARIANTS = DATA / "variants"
PACKED = "transformer.safetensors"  # the MMDiT of a variant, in fp8
WEIGHTS = Path("transformer", "diffusion_pytorch_model.safetensors")
SHARED = ("vae", "tokenizer")  # parts that a variant may have from the painter


def names() -> list[str]:
    """Names of the variants that are whole models"""
    return sorted(file.parent.name for file in VARIANTS.glob(f"*/{PACKED}"))


def open_variant(name: str, **options) -> QwenImage:
    """A variant as a pipeline; `options` as for QwenImage.from_pretrained

    Raises CheckpointError, one line, for a name that is not in names().
    """
    with tempfile.TemporaryDirectory() as folder:
        return QwenImage.from_pretrained(assemble(name, Path(folder) / name), **options)


def assemble(name: str, to: Path) -> Path:
    """Write a variant as an official folder in bf16 -> the folder

    Raises CheckpointError, one line, for a name that is not in names() or a folder that is there.
    """
    if name not in names():
        hint = f"it must be one of {names()}" if names() else CLONE_HINT
        raise CheckpointError(f"there is no pocket variant {name!r}; {hint}")
    if to.exists():
        raise CheckpointError(f"{to} must not exist yet; choose another folder")
    kept, partial = VARIANTS / name, to.with_name(to.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for part in SHARED:
        shutil.copytree(POCKET / part, partial / part)
    packed = shutil.ignore_patterns(PACKED)
    shutil.copytree(kept, partial, dirs_exist_ok=True, ignore=packed)
    pipe = QwenImage.from_pretrained(partial, torch.bfloat16, transformer=kept / PACKED)
    save(_unpacked(pipe.transformer), partial / "transformer", dtype=torch.bfloat16)
    return partial.rename(to)


def keep(folder: Path, name: str, to: Path = VARIANTS) -> Path:
    """Keep a variant's official folder under its name, without what it shares -> where it is"""
    kept, partial = to / name, to / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_dir() or relative == WEIGHTS or _is_shared(file, relative):
            continue
        (partial / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, partial / relative)
    mmdit = QwenImage.from_pretrained(folder, torch.bfloat16).transformer
    save_fp8(mmdit, partial / PACKED)
    shutil.rmtree(kept, ignore_errors=True)
    return partial.rename(kept)


def _is_shared(file: Path, relative: Path) -> bool:
    own = POCKET / relative
    return relative.parts[0] in SHARED and own.is_file() and own.read_bytes() == file.read_bytes()


def _unpacked(mmdit: MMDiT) -> MMDiT:
    """The same numbers in plain linear layers"""
    plain = MMDiT(mmdit.config)
    numbers = dict(mmdit.named_parameters()) | {
        f"{name}.weight": layer.unpacked(torch.bfloat16)
        for name, layer in mmdit.named_modules()
        if isinstance(layer, PackedLinear)
    }
    plain.load_state_dict({name: numbers[name] for name in plain.state_dict()})
    return plain


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.pocket.variants")
    parser.add_argument("do", choices=("write", "keep"))
    parser.add_argument("name", metavar="NAME", help=f"kept now: {', '.join(names()) or 'none'}")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        if options.do == "write":
            print(assemble(options.name, options.folder))
        else:
            print(keep(options.folder, options.name))
    except CheckpointError as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
