"""A picture file becomes RGB pixels as people see them, or one line that names it."""

import io
import os
import random
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from qwenimage_ref import pictures
from qwenimage_ref.pictures import PictureError, open_picture

ORIENTATION = 0x0112  # EXIF's tag
RAMP = np.tile(np.linspace(0, 255, 64, dtype=np.uint16), (64, 1))


def refusal(path) -> str:
    with pytest.raises(PictureError) as refused:
        open_picture(path)
    text = str(refused.value)
    assert str(path) in text and text.isprintable() and len(text) < 400
    return text


# -- pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_is_scaled_to_8(tmp_path, suffix):
    Image.fromarray((RAMP * 257).astype(np.uint16)).save(tmp_path / f"a.{suffix}")
    pixels = np.asarray(open_picture(tmp_path / f"a.{suffix}"))
    assert pixels.shape == (64, 64, 3)
    assert np.array_equal(pixels[..., 0], RAMP) and np.array_equal(pixels[..., 2], RAMP)


def test_the_level_of_16_bit_grey_that_is_transparent_becomes_white(tmp_path):
    levels = np.array([[1000, 1001]] * 2, np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=1000)
    assert np.asarray(open_picture(tmp_path / "a.png"))[0, :, 0].tolist() == [255, 4]


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_pixels_of_32_bits_are_refused(tmp_path, dtype):
    Image.fromarray(RAMP.astype(dtype)).save(tmp_path / "a.tif")
    assert "32-bit numbers; save it with 8 or 16 bits" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), "white").convert(mode).save(file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.asarray(open_picture(file)).min() == 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_lie_on_white(tmp_path, mode):
    clear = Image.new("RGBA", (64, 32), (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), (0, 0, 32, 32))
    clear.convert(mode).save(tmp_path / "a.png")
    opened = open_picture(tmp_path / "a.png")
    assert opened.getpixel((16, 8)) == (0, 0, 0) and opened.getpixel((48, 8)) == (255, 255, 255)


@pytest.mark.parametrize("orientation", [1, 6])
def test_transparency_is_kept_where_it_is_asked_for_and_turned_with_the_picture(
    tmp_path, orientation
):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = np.rot90(pixels, k=-1) if orientation == 6 else pixels
    assert np.array_equal(np.asarray(open_picture(tmp_path / "a.png", alpha=True)), upright)


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "CMYK"])
def test_a_picture_that_has_no_transparency_is_opaque(tmp_path, mode):
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (8, 8), "white").convert(mode).save(file)
    picture = open_picture(file, alpha=True)
    assert picture.mode == "RGBA" and np.asarray(picture).min() == 255


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(tmp_path, suffix, orientation):
    stored = Image.new("RGB", (64, 32), "white")
    stored.paste("black", (0, 0, 32, 16))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / f"a.{suffix}", exif=exif, **({"quality": 95} if suffix == "jpg" else {}))
    upright = open_picture(tmp_path / f"a.{suffix}")
    assert upright.size == ((64, 32) if orientation <= 4 else (32, 64))
    width, height = upright.size
    corners = [(x, y) for y in (4, height - 5) for x in (4, width - 5)]
    dark = [upright.getpixel(corner)[0] < 128 for corner in corners]
    # the dark corner: top left, top right, bottom right, bottom left, and the same mirrored
    place = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}[orientation]
    assert dark == [i == place for i in range(4)]


def p3_profile() -> bytes:
    """sRGB's profile with the primaries of Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for i in range(struct.unpack(">I", profile[128:132])[0]):
        tag, at, _ = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        if tag in primaries:
            numbers = [round(x * 65536) for x in primaries[tag]]
            profile[at + 8 : at + 20] = struct.pack(">iii", *numbers)
    return bytes(profile)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_converted_to_srgb(tmp_path, mode):
    colour = Image.new("RGB", (8, 8), (200, 60, 60))
    stored = colour.quantize() if mode == "P" else colour.convert(mode)
    stored.save(tmp_path / "a.png", icc_profile=p3_profile())
    red, green, blue = open_picture(tmp_path / "a.png").getpixel((4, 4))
    # by the matrices of both colour spaces: (216, 44, 55)
    assert abs(red - 216) <= 3 and abs(green - 44) <= 4 and abs(blue - 55) <= 3


@pytest.mark.parametrize("profile", [b"no profile", p3_profile()[:200], p3_profile()[:-100]])
def test_a_damaged_profile_counts_as_none(tmp_path, profile):
    Image.new("RGB", (8, 8), (200, 60, 60)).save(tmp_path / "a.png", icc_profile=profile)
    pixel = open_picture(tmp_path / "a.png").getpixel((4, 4))
    assert pixel == (200, 60, 60) or profile == p3_profile()[:-100]


def test_a_grey_picture_with_a_colour_profile_stays_grey(tmp_path):
    Image.new("L", (8, 8), 100).save(tmp_path / "a.png", icc_profile=p3_profile())
    assert len(set(open_picture(tmp_path / "a.png").getpixel((4, 4)))) == 1


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("exif", [b"Exif\0\0b'Exif\\x00\\x00MM", b"Exif\0\0MM\0*\0\0\0\x08\0\x09"])
def test_malformed_exif_counts_as_none(tmp_path, exif):
    Image.new("RGB", (64, 32), "red").save(tmp_path / "a.png", exif=exif)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert open_picture(tmp_path / "a.png").getpixel((4, 4)) == (255, 0, 0)
    assert heard == []


@pytest.mark.parametrize("compressed", [True, False])
def test_megabytes_of_text_in_a_png_are_skipped(tmp_path, compressed):
    info = PngInfo()
    info.add_text("prompt", "a" * 3_000_000, zip=compressed)
    info.add_itxt("workflow", "b" * 3_000_000, zip=compressed)
    Image.new("RGB", (64, 32), "red").save(tmp_path / "a.png", pnginfo=info)
    assert open_picture(tmp_path / "a.png").getpixel((4, 4)) == (255, 0, 0)


def chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def test_a_png_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    for name, side in (("a.png", 20_000), ("b.png", 8_001), ("c.png", 12_000)):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / name).write_bytes(pictures.PNG_START + header + pixels + chunk(b"IEND", b""))
        assert "more than 64,000,000 pixels; shrink it" in refusal(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\nshowpage\n",
        b"DDS |\0\0\0" + bytes(120),
        b"BLP2\1\0\0\0" + bytes(2000),
        b"\0\0\0\x1cftypavif" + bytes(100),
        b"GIF89a" + bytes(100),
        b"P6 9999999 9999999 255\n",
        b"",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_no_other_decoder_is_started_whatever_the_name_says(tmp_path, monkeypatch, content):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "a.png").write_bytes(content)
    assert "it is damaged, or none of PNG, JPEG, WEBP, BMP, TIFF" in refusal(tmp_path / "a.png")
    assert not (tmp_path / "started").exists()


def test_pipes_folders_and_missing_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "must be a regular file" in refusal(tmp_path / "pipe.png")
    assert "must be a regular file" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "none.png")


def test_a_file_without_an_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", 100)
    Image.effect_noise((64, 64), 50).save(tmp_path / "a.png")
    assert "longer than 100 bytes" in refusal(tmp_path / "a.png")


def samples() -> list[bytes]:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = Image.fromarray((RAMP[:16, :16] * 257).astype(np.uint16))
    colours = Image.effect_noise((16, 16), 80).convert("RGB")
    files = []
    for picture, format in [(grey, "PNG"), *((colours, f) for f in pictures.FORMATS)]:
        buffer = io.BytesIO()
        more = {} if format == "BMP" else {"exif": exif, "icc_profile": p3_profile()}
        picture.save(buffer, format, **more)
        files.append(buffer.getvalue())
    return files


def test_300_damaged_files_are_pictures_or_one_line(tmp_path):
    chance, refused, whole = random.Random(0), 0, samples()
    for _ in range(300):
        content = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.choice([0, 1, 127, 255, 42])
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)) :]
        (tmp_path / "a.png").write_bytes(content)
        try:
            assert open_picture(tmp_path / "a.png").mode == "RGB"
        except PictureError as error:
            assert str(error).isprintable() and len(str(error)) < 400
            refused += 1
    assert 50 < refused < 250


# -- arrays ---------------------------------------------------------------------------------------


def test_pictures_and_arrays_become_numbers_from_minus_one_to_one():
    black, white = Image.new("RGB", (4, 2)), np.full((2, 4, 3), 255, np.uint8)
    img = pictures.to_input([black, white])
    assert img.shape == (2, 3, 2, 4) and img.dtype == torch.float32
    assert torch.equal(img[0], -torch.ones(3, 2, 4)) and torch.equal(img[1], torch.ones(3, 2, 4))


@pytest.mark.parametrize("span, decibels", [(2.0, 20.0), (1.0, 13.9794), (20.0, 40.0)])
def test_the_signal_to_noise_ratio_is_measured_against_the_span(span, decibels):
    a = torch.zeros(2, 3, 4, 4)
    assert pictures.psnr(a, a + 0.2, span).tolist() == pytest.approx([decibels] * 2, abs=1e-3)
    assert pictures.psnr(a, a).tolist() == [float("inf")] * 2


def test_a_sheet_holds_pictures_row_by_row_and_paper_where_there_is_none():
    tiles = [Image.new("RGB", (4, 6), colour) for colour in ("red", "lime", "blue")]
    sheet = pictures.sheet(tiles, columns=2, gap=8, paper="black")
    assert sheet.size == (4 + 8 + 4, 6 + 8 + 6)
    seen = [sheet.getpixel(at) for at in ((0, 0), (12, 0), (0, 14), (12, 14), (6, 0))]
    assert seen == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (0, 0, 0)]


def test_a_picture_of_the_course_is_written_with_a_palette(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pictures, "DATA", tmp_path / "data")
    pictures.write_picture(np.full((8, 8, 3), (255, 0, 0), np.uint8), "a.png")
    with Image.open(tmp_path / "data" / "pictures" / "a.png") as written:
        assert written.mode == "P" and written.convert("RGB").getpixel((4, 4)) == (255, 0, 0)
    assert capsys.readouterr().out == "data/pictures/a.png\n"
