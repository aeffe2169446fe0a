"""Trained variants of the pocket model, kept without what they share with the painter.

    python -m qwenimage_ref.pocket.variants write NAME FOLDER    a variant as an official folder
    python -m qwenimage_ref.pocket.variants keep NAME FOLDER     a trained folder, as a variant

A variant's folder under data/variants holds the files in which it differs from data/pocket: its
MMDiT as scaled fp8, half the bytes of bf16, or as Q4_0 in GGUF, less than a third; weights of other
networks as 8-bit integers with a scale for each row.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import torch

from ..checkpoint import save
from ..checkpoint.headers import find_tensors, read_tensor
from ..checkpoint.packed_linear import PackedLinear
from ..checkpoint.write import save_file
from ..files import CheckpointError
from ..formats.fp8 import save_fp8
from ..formats.gguf import save_gguf
from ..mmdit import MMDiT
from ..pipeline import QwenImage
from ..repository import CLONE_HINT, DATA, POCKET, in_a_clone

VARIANTS = DATA / "variants"
KINDS = {"fp8": "transformer.safetensors", "Q4_0": "transformer.gguf"}  # forms of the MMDiT
WEIGHTS = Path("transformer", "diffusion_pytorch_model.safetensors")
SHARED = ("vae", "tokenizer", "text_encoder")  # parts that a variant may have from the painter
ROWS = ".rows.safetensors"  # ends the name of a file whose weights are integers, row by row
SCALE = ".scale"  # ends the name of the scales of a weight's rows


def names() -> list[str]:
    """Names of the variants that are whole models"""
    kept = {file.parent.name for kind in KINDS.values() for file in VARIANTS.glob(f"*/{kind}")}
    return sorted(kept)


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
    packed = shutil.ignore_patterns(*KINDS.values(), f"*{ROWS}")
    shutil.copytree(kept, partial, dirs_exist_ok=True, ignore=packed)
    for file in kept.rglob(f"*{ROWS}"):
        plain = file.name.removesuffix(ROWS) + ".safetensors"
        save_file(from_rows(_read(file)), partial / file.parent.relative_to(kept) / plain)
    (packed,) = (kept / kind for kind in KINDS.values() if (kept / kind).exists())
    pipe = QwenImage.from_pretrained(partial, torch.bfloat16, transformer=packed)
    save(_unpacked(pipe.transformer), partial / "transformer", dtype=torch.bfloat16)
    return partial.rename(to)


def keep(folder: Path, name: str, to: Path = VARIANTS, kind: str = "fp8") -> Path:
    """Keep a variant's official folder under its name, without what it shares -> where it is

    kind: of KINDS.
    """
    mmdit = QwenImage.from_pretrained(folder, torch.bfloat16).transformer
    kept, partial = to / name, to / f"{name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for file in sorted(folder.rglob("*")):
        relative = file.relative_to(folder)
        if file.is_dir() or relative == WEIGHTS or _is_shared(file, relative):
            continue
        (partial / relative).parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".safetensors":
            save_file(to_rows(_read(file)), (partial / relative).with_suffix(ROWS))
        else:
            shutil.copyfile(file, partial / relative)
    if kind == "fp8":
        save_fp8(mmdit, partial / KINDS[kind])
    else:
        save_gguf(mmdit, partial / KINDS[kind], kind)
    shutil.rmtree(kept, ignore_errors=True)
    return partial.rename(kept)


def to_rows(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights as 8-bit integers, with a float32 scale for each row, that is each output

    Vectors, and all whose rows are shorter than 8 numbers, stay as they are.
    """
    packed = {}
    for name, tensor in tensors.items():
        if tensor.ndim < 2 or tensor[0].numel() < 8:
            packed[name] = tensor
            continue
        rows = tensor.flatten(1).float()
        scale = (rows.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        packed[name] = (rows / scale[:, None]).round().to(torch.int8).view(tensor.shape)
        packed[name + SCALE] = scale
    return packed


def from_rows(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights in bf16 again, and what was left as it was"""
    tensors = {}
    for name, tensor in packed.items():
        if (scale := packed.get(name + SCALE)) is not None:
            tensor = tensor.float() * scale.view(-1, *(1,) * (tensor.ndim - 1))
        if not name.endswith(SCALE):
            tensors[name] = tensor.bfloat16()
    return tensors


def _read(file: Path) -> dict[str, torch.Tensor]:
    return {name: read_tensor(place) for name, place in find_tensors(file).items()}


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
    about = "how `keep` packs the transformer; default fp8"
    parser.add_argument("--kind", choices=KINDS, default="fp8", help=about)
    options = parser.parse_args(arguments)
    try:
        if options.do == "write":
            print(assemble(options.name, options.folder))
        else:
            print(keep(options.folder, options.name, kind=options.kind))
    except (ValueError, OSError) as error:
        parser.exit(1, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
