"""Close-ups of parts, and maps and boxes on the picture that a model's input was made from."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from resemblance.data.geometry import Preparation, prepare
from resemblance.drawing.places.close_up import close_up, frame_side, inside, surroundings
from resemblance.drawing.places.shown_image import InputPlace, ShownImage

BRIGHT = (150, 90, 210, 170)  # on a picture of 300 × 240 pixels


def picture(width=300, height=240):
    pixels = np.zeros((height, width, 3), np.uint8)
    x0, y0, x1, y1 = BRIGHT
    pixels[y0:y1, x0:x1] = 255
    return pixels


def extent(mask):
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("shown", [1.0, 0.5, 2.5])
@pytest.mark.parametrize("share", [1.0, 0.875])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_what_the_model_sees_is_marked_where_it_is_on_the_picture(resize, share, shown, size):
    original = picture()
    preparation = Preparation(original.shape[:2], size, resize, share)
    read = np.asarray(prepare(Image.fromarray(original), preparation, "bilinear", (0, 0, 0)))
    box = tuple(int(edge) for edge in extent(read[..., 0] > 127))
    drawn = round(240 * shown), round(300 * shown)
    place = InputPlace.of(drawn, size, preparation)
    expected = np.array(BRIGHT) * shown
    # The box is in whole pixels of the input, which are up to seven pixels of the picture wide.
    pixel = max(240 / size[0], 300 / size[1]) * shown / min(share, 1)
    assert np.abs(np.array(place.box(box)) - expected).max() <= 0.75 * pixel + 1

    image = np.asarray(Image.fromarray(original).resize(drawn[::-1], Image.Resampling.NEAREST))
    heat = (read[..., 0] > 127).astype(np.float32)
    heated = ShownImage.of(read, image, preparation).heated(heat).astype(int)
    glow = heated[..., 0] - heated[..., 2] > 15  # inferno's brightest is yellow, its darkest is black
    assert np.abs(np.array(extent(glow)) - expected).max() <= 1.5 * pixel + 2


def test_what_a_crop_cuts_off_is_dimmed_and_has_no_map():
    original = np.full((100, 300, 3), 255, np.uint8)
    preparation = Preparation((100, 300), (50, 50), "crop")
    shown = ShownImage.of(np.zeros((50, 50, 3), np.uint8), original, preparation)
    assert shown.place.seen == (100, 0, 200, 100)
    assert not shown.place.complete
    assert (shown.marked[:, 100:200] == 255).all()
    assert (shown.marked[:, :100] < 200).all()
    heated = shown.heated(np.ones((50, 50), np.float32))
    np.testing.assert_array_equal(heated[:, :100], shown.marked[:, :100])
    assert (heated[:, 100:200] < 255).any()


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_squashed_and_padded_pictures_are_seen_whole(resize):
    place = InputPlace.of((100, 300), (50, 50), Preparation((100, 300), (50, 50), resize))
    assert place.complete
    assert place.seen == (0, 0, 300, 100)


def test_a_small_picture_is_enlarged_so_that_its_map_stays_fine():
    preparation = Preparation((28, 20), (112, 112))
    shown = ShownImage.of(
        np.zeros((112, 112, 3), np.uint8), np.zeros((28, 20, 3), np.uint8), preparation, side=480
    )
    assert shown.pixels.shape == (112, 80, 3)
    assert shown.small


def test_a_large_picture_is_shrunk_in_its_own_proportions():
    preparation = Preparation((600, 1200), (64, 64))
    original = np.zeros((600, 1200, 3), np.uint8)
    shown = ShownImage.of(np.zeros((64, 64, 3), np.uint8), original, preparation, side=400)
    assert shown.pixels.shape == (200, 400, 3)
    assert shown.place.box((0, 0, 32, 64)) == (0, 0, 200, 200)


@pytest.mark.parametrize("signed", [False, True])
def test_the_glow_never_hides_the_image(signed):
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 255
    heat = np.linspace(-1 if signed else 0, 1, 40, dtype=np.float32)[:, None].repeat(40, axis=1)
    heated = ShownImage.of(stripes).heated(heat, signed=signed).astype(int)
    contrast = np.abs(heated[:, 0] - heated[:, 1]).max(axis=1)
    assert contrast.min() >= (30 if signed else 130)


def test_the_frame_is_wider_than_the_part_and_stays_in_the_image():
    for box in [(0, 0, 4, 4), (28, 28, 32, 32), (12, 10, 16, 14), (0, 0, 32, 32), (0, 10, 32, 14)]:
        frame = surroundings(box, (32, 32))
        assert 0 <= frame[0] <= box[0] < box[2] <= frame[2] <= 32
        assert 0 <= frame[1] <= box[1] < box[3] <= frame[3] <= 32
    assert frame_side([(0, 0, 4, 4)], (32, 32)) >= 2.5 * 4
    assert frame_side([(0, 0, 4, 4), (0, 0, 30, 30)], (32, 32)) == 32


def test_the_part_keeps_its_pixels_and_its_surroundings_are_dimmed():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    box = (50, 2, 58, 9)
    pixels, (x0, y0, x1, y1) = close_up(image, box)
    np.testing.assert_array_equal(pixels[y0:y1, x0:x1], image[2:9, 50:58])
    outside = np.ones(pixels.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert pixels[outside].std() < 0.5 * image.std()
    assert inside(box, surroundings(box, (40, 60))) == (x0, y0, x1, y1)
