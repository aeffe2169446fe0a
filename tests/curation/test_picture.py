"""Numbers of one picture: what each reacts to, and what it does not."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from qwenimage_ref.curation import picture as look
from qwenimage_ref.curation import text_areas
from qwenimage_ref.posters.draw import second_poster


def poster(seed: int = 3) -> np.ndarray:
    return second_poster(seed)[1]


def blurred(pixels: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def half(left, right) -> np.ndarray:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = left, right
    return pixels


def test_a_step_within_one_pixel_has_the_clarity_one():
    assert look.clarity(half((0, 0, 0), (255, 255, 255))) == pytest.approx(1)


def test_a_step_spread_over_four_pixels_has_a_clarity_of_about_a_quarter():
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 28:32] = np.array([51, 102, 153, 204])[None, :, None]
    pixels[:, 32:] = 255
    assert look.clarity(pixels) == pytest.approx(0.2, abs=0.01)


def test_clarity_does_not_depend_on_how_many_edges_there_are():
    few, many = half((0, 0, 0), (255, 255, 255)), np.zeros((64, 64, 3), np.uint8)
    many[:, ::2] = 255
    assert look.clarity(few) == pytest.approx(look.clarity(many))


def test_clarity_does_not_depend_on_the_contrast():
    strong, weak = half((0, 0, 0), (255, 255, 255)), half((100, 100, 100), (140, 140, 140))
    assert look.clarity(strong) == pytest.approx(look.clarity(weak))


def test_a_blurred_poster_is_less_clear():
    assert look.clarity(blurred(poster(), 2)) < 0.35 < look.clarity(poster())


def test_the_darkest_and_lightest_half_per_cent_are_those_of_the_two_halves():
    assert look.darkest_and_lightest(half((10, 10, 10), (240, 240, 240))) == pytest.approx(
        (10, 240), abs=1e-3
    )


def test_gray_has_no_saturation_and_pure_red_has_all():
    assert look.saturation(half((90, 90, 90), (200, 200, 200))) == 0
    assert look.saturation(half((255, 0, 0), (255, 0, 0))) == 1


@pytest.mark.parametrize("levels, bits", [(1, 0), (2, 1), (16, 4)])
def test_entropy_is_the_logarithm_of_equally_frequent_levels(levels, bits):
    values = np.arange(64 * 64) % levels * 15
    pixels = np.repeat(values.reshape(64, 64, 1), 3, axis=2).astype(np.uint8)
    assert look.entropy(pixels) == pytest.approx(bits)


def test_noise_has_texture_and_an_edge_has_little():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert look.texture(noise) > 10 > 1 > look.texture(half((0, 0, 0), (255, 255, 255)))


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return (look.perceptual_hash(a) ^ look.perceptual_hash(b)).bit_count()


def test_a_hash_has_sixty_four_bits_and_none_for_the_mean():
    assert 0 <= look.perceptual_hash(poster()) < 2**64
    assert look.perceptual_hash(np.full((64, 64, 3), 200, np.uint8)) >> 63 == 0


def test_a_compressed_smaller_darker_copy_has_nearly_the_same_hash():
    file = io.BytesIO()
    small = Image.fromarray(poster()).resize((100, 100)).point(lambda level: level * 0.97)
    small.save(file, "JPEG", quality=70)
    assert apart(poster(), np.asarray(Image.open(file))) <= 6


def test_different_posters_have_different_hashes():
    assert apart(poster(3), poster(4)) > 6


def test_a_mirrored_poster_has_another_hash():
    pixels = half((0, 0, 0), (255, 255, 255))
    assert apart(pixels, pixels[:, ::-1]) > 3


def test_the_thumbnail_of_two_halves_is_two_halves():
    cells = np.frombuffer(look.thumbnail(half((10, 20, 30), (200, 100, 50))), np.uint8)
    cells = cells.reshape(16, 16, 3)
    assert (cells[:, :8] == (10, 20, 30)).all() and (cells[:, 8:] == (200, 100, 50)).all()


# -- text and watermarks


def with_marks(count: int, height: int) -> np.ndarray:
    pixels = np.full((128, 128, 3), 240, np.uint8)
    for i in range(count):
        y, x = divmod(i, 10)
        pixels[4 + 12 * y : 4 + 12 * y + height, 4 + 12 * x : 8 + 12 * x] = 20
    return pixels


def test_characters_are_counted_and_measured():
    assert text_areas.text(with_marks(37, 8)) == text_areas.Text(37, 37.0, 8.0)


def test_density_counts_in_the_area_of_one_poster():
    tiled = np.tile(with_marks(20, 8), (2, 2, 1))
    assert text_areas.text(tiled).density == 20


def test_a_shape_is_no_character():
    pixels = np.full((128, 128, 3), 240, np.uint8)
    pixels[30:90, 30:90] = 20
    assert text_areas.text(pixels).count == 0


def test_the_background_is_the_colour_of_most_pixels():
    pixels = np.full((128, 128, 3), (240, 225, 195), np.uint8)
    pixels[:40] = 20
    assert tuple(text_areas.background(pixels)) == (240, 225, 195)


def test_something_faint_over_the_background_is_a_watermark():
    pixels = np.full((128, 128, 3), 240, np.uint8)
    pixels[:64, :32] = 225
    assert text_areas.watermark(pixels) == pytest.approx(1 / 8)


def test_a_dark_shape_with_soft_edges_is_none():
    pixels = np.full((128, 128, 3), 240, np.uint8)
    pixels[30:90, 30:90] = 20
    pixels[29, 30:90] = 220
    assert text_areas.watermark(pixels) == 0
