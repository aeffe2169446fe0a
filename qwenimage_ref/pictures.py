"""Pictures: files read with care, arrays to tensors, sheets of many, and how alike two are."""

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageCms

from .files import open_regular, shorten
from .repository import DATA

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")  # the only decoders that are ever started
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
MOST_PIXELS = 64_000_000  # full-frame cameras have up to 61 million; decoded 256 MB
MOST_RATIO = 200  # longer to shorter side; Qwen2.5-VL reads none beyond it
MOST_BYTES = 1_000_000_000  # largest file that is read
ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MODE_OF_PROFILE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")


class PictureError(ValueError):
    """A file that is no picture, or none that can be used; one line names it."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(f"{path} cannot be used as a picture ({reason})")
        self.reason = reason


# -- files


def open_picture(path: str | Path, alpha: bool = False) -> Image.Image:
    """A PNG, JPEG, WebP, BMP or TIFF file -> an RGB picture, upright, in sRGB, on white

    alpha: RGBA instead, with the transparency that it has, else opaque.
    16-bit grey is scaled to 8 bits, and an embedded colour profile is converted. Malformed EXIF
    counts as none. Raises PictureError, one line, for everything else: pipes, more than MOST_PIXELS
    (before anything is decoded), 32-bit numbers, and whatever a decoder stumbles over.
    """
    try:
        with open_regular(path) as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(path, shorten([error])) from None
    return picture_from(content, path, alpha)


def picture_from(content: bytes, name: str | Path = "the file", alpha: bool = False) -> Image.Image:
    """The content of a picture file -> the picture, as `open_picture` reads it; same errors"""
    try:
        if len(content) > MOST_BYTES:
            raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes, checked here, and damaged metadata
            return (as_rgba if alpha else as_rgb)(_decode(content))
    except MemoryError:
        raise
    except Exception as error:  # decoders raise almost anything on damaged bytes
        reason = shorten([" ".join(str(error).split()) or type(error).__name__])
        raise PictureError(name, reason) from None


def input_picture(picture: Image.Image, name: str = "image", alpha: bool = False) -> Image.Image:
    """A picture that a caller passes in, as `as_rgb` or, with alpha, `as_rgba` reads it

    Raises ValueError, one line.
    """
    if not isinstance(picture, Image.Image):
        kind = type(picture).__name__
        raise ValueError(f"{name} must be a PIL picture, got {kind}; use open_picture or PIL")
    width, height = picture.size
    if not 0 < max(picture.size) <= MOST_RATIO * min(picture.size):
        raise ValueError(
            f"{name} must be at most {MOST_RATIO} times as long as it is wide, got "
            f"{width}x{height}; crop it"
        )
    try:
        return (as_rgba if alpha else as_rgb)(picture)
    except OSError as error:
        raise ValueError(f"{name} cannot be used as a picture ({error})") from None


def _decode(content: bytes) -> Image.Image:
    try:
        return _loaded(content)
    except ValueError:
        # Pillow gives up on a PNG with more than a megabyte of text, which no pixel depends on
        if not content.startswith(PNG_START):
            raise
        return _loaded(_without_text(content))


def _loaded(content: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError:
        raise OSError(f"it is damaged, or none of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise OSError(f"it has more than {MOST_PIXELS:,} pixels; shrink it") from None
    if opened.width * opened.height > MOST_PIXELS:
        size = f"{opened.width}x{opened.height}"
        raise OSError(f"it is {size}, more than {MOST_PIXELS:,} pixels; shrink it")
    opened.load()
    return opened


def _without_text(png: bytes) -> bytes:
    """A PNG file without its text chunks."""
    kept, at = [PNG_START], len(PNG_START)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] not in PNG_TEXT:
            kept.append(png[at : at + 12 + length])
        at += 12 + length
    return b"".join(kept)


def as_rgb(opened: Image.Image) -> Image.Image:
    """A picture of any mode -> the same in RGB, upright, in sRGB, on white, 8 bits a channel

    Raises OSError for 32-bit numbers.
    """
    colours, alpha = _colours_and_alpha(opened)
    if alpha is None:
        return colours
    return Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)


def as_rgba(opened: Image.Image) -> Image.Image:
    """The same with its transparency, in RGBA; opaque where it has none"""
    colours, alpha = _colours_and_alpha(opened)
    colours = colours.convert("RGBA")
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def is_opaque(picture: Image.Image) -> bool:
    """Whether nothing of a picture in RGBA is transparent"""
    return picture.getextrema()[3] == (255, 255)


def _colours_and_alpha(opened: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """-> the picture in RGB, upright, in sRGB, and its transparency; None: it has none"""
    turn = UPRIGHT.get(_orientation(opened))
    picture = _eight_bits(opened)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    colours = _in_srgb(picture, opened.info.get("icc_profile"))
    layers = [colours, picture.getchannel("A") if picture.mode == "RGBA" else None]
    return tuple(x if x is None or turn is None else x.transpose(turn) for x in layers)


def _orientation(opened: Image.Image) -> int | None:
    try:
        return opened.getexif().get(ORIENTATION)
    except Exception:  # the metadata are damaged; the pixels are whole
        return None


def _eight_bits(opened: Image.Image) -> Image.Image:
    """The same picture in a mode of 8 bits a channel."""
    if opened.mode in ("I", "F"):
        raise OSError("its pixels are 32-bit numbers; save it with 8 or 16 bits")
    if not opened.mode.startswith("I;16"):
        return opened
    levels = np.asarray(opened).astype(np.uint16)
    bits = getattr(opened, "tag_v2", {}).get(258, (16,))[0]  # a TIFF's tag BitsPerSample
    # a table instead of arithmetic on the pixels, which would take eight bytes for each
    scaled = np.round(np.arange(2**16) * (255 / (2**bits - 1))).clip(0, 255).astype(np.uint8)
    grey = Image.fromarray(scaled[levels])
    if (clear := opened.info.get("transparency")) is not None:  # the one level that is not drawn
        grey.putalpha(Image.fromarray(np.where(levels == clear, 0, 255).astype(np.uint8)))
    return grey


def _in_srgb(picture: Image.Image, icc: bytes | None) -> Image.Image:
    """Without its alpha, converted by its profile; by none if that is damaged or does not fit."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            mode = MODE_OF_PROFILE[profile.profile.xcolor_space.strip()]
            if (mode == "CMYK") == (picture.mode == "CMYK"):
                srgb = ImageCms.createProfile("sRGB")
                colours = picture.convert(mode)
                return ImageCms.profileToProfile(colours, profile, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, KeyError, OSError, ValueError, TypeError):
            pass  # viewers ignore such a profile, too
    return picture.convert("RGB")


def write_picture(picture: np.ndarray, name: str) -> None:
    """(H, W, 3) uint8 -> data/pictures/NAME, a PNG with a palette of 256 colours

    The palette keeps flat pictures small without a visible difference.
    """
    file = DATA / "pictures" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(file.relative_to(DATA.parent))


# -- tensors


def to_input(pictures) -> torch.Tensor:
    """N pictures of one size, (H, W, 3) uint8 arrays or PIL's -> (N, 3, H, W) in [-1, 1]

    RGBA makes it four channels.
    """
    pixels = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(a, b, span: float = 2.0):
    """(B, 3, H, W), (B, 3, H, W) -> (B,) peak signal-to-noise ratio in dB, infinite for equals

    span: from black to white; 2 in [-1, 1].
    """
    return -10 * torch.log10(((a - b) / span).pow(2).flatten(1).mean(1))


# -- sheets


def sheet(pictures, columns: int, gap: int = 0, paper="white") -> Image.Image:
    """N pictures of one size, (H, W, 3) uint8 arrays or PIL's -> one picture of them, row by row

    gap: pixels between them.
    """
    tiles = [np.asarray(picture) for picture in pictures]
    height, width = (side + gap for side in tiles[0].shape[:2])
    rows = -(-len(tiles) // columns)
    canvas = Image.new("RGB", (columns * width - gap, rows * height - gap), paper)
    for i, tile in enumerate(tiles):
        canvas.paste(Image.fromarray(tile), (i % columns * width, i // columns * height))
    return canvas
