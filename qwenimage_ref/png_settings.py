"""Settings inside a picture: a PNG file that holds how it was painted, and how it is read again.

One text chunk under the keyword `qwenimage` holds a JSON object. Viewers and other programs skip
it. Nothing here needs torch, so that a page can show settings without loading a model.
"""

import hashlib
import io
import json
from pathlib import Path

from PIL import Image, PngImagePlugin

from .files import open_regular, parse_json

KEYWORD = "qwenimage"
VERSION = 1  # layout of the object
MOST_BYTES = 100_000_000  # largest PNG that is searched for settings
PIECE, PIECES = 1 << 20, 64  # bytes and number of the pieces that stand for a larger file


class SettingsError(ValueError):
    """A file without settings, or with some that cannot be followed; one line names it."""


def settings_chunk(settings: dict) -> PngImagePlugin.PngInfo:
    """{name: value} -> what `Image.save(..., format="PNG", pnginfo=)` puts into the file"""
    chunk = PngImagePlugin.PngInfo()
    text = json.dumps({"version": VERSION} | settings, ensure_ascii=False)
    chunk.add_itxt(KEYWORD, text)
    return chunk


def read_settings(file: str | Path) -> dict:
    """A PNG file -> its settings. Raises SettingsError, one line."""
    try:
        with open_regular(file) as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            text = picture.text.get(KEYWORD)
        settings = None if text is None else parse_json(text.encode())
    except OSError as error:
        reason = error.strerror or "it is no PNG"
        raise SettingsError(f"{file} cannot be read for its settings ({reason})") from None
    except (ValueError, SyntaxError) as error:
        raise SettingsError(f"{file} cannot be read for its settings ({error})") from None
    if settings is None:
        raise SettingsError(
            f"{file} holds no settings; only PNG files that qwenimage wrote can be painted again"
        )
    if not isinstance(settings, dict) or settings.get("version") != VERSION:
        raise SettingsError(
            f"the settings of {file} must be of version {VERSION}; this program is older than they"
        )
    return settings


def mark_of(path: str | Path) -> str:
    """A file, or a folder with all that is in it -> sha256 of its content, in hexadecimal

    Of files above 64 MiB, 64 pieces and the size stand for the content: weights of 58 GB take a
    second. Hidden files do not count. Raises OSError.
    """
    path, digest = Path(path), hashlib.sha256()
    if path.is_file():
        _add(digest, path)
        return digest.hexdigest()
    for file in sorted(file for file in path.rglob("[!.]*") if file.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        _add(digest, file)
    return digest.hexdigest()


def _add(digest, file: Path) -> None:
    size = file.stat().st_size
    digest.update(size.to_bytes(8, "little"))
    with open_regular(file) as opened:
        if size <= PIECE * PIECES:
            digest.update(opened.read())
            return
        for i in range(PIECES):
            opened.seek((size - PIECE) * i // (PIECES - 1))
            digest.update(opened.read(PIECE))
