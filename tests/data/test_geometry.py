"""A picture is prepared as timm and torchvision do, and places return to where they came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from made_images import noise
from resemblance.config.errors import UserError
from resemblance.config.image import INTERPOLATIONS, RESIZES, ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data import ArraySource, ImageDataset
from resemblance.data.geometry import Preparation, clipped
from resemblance.data.transforms import to_pixels

MODES = {"squash": "squash", "crop": "center", "pad": "border"}  # timm's names
side = st.integers(1, 90)
shares = st.sampled_from([1.0, 0.95, 0.875, 0.5, 0.1])
preparations = st.builds(
    Preparation, st.tuples(side, side), st.tuples(side, side), st.sampled_from(RESIZES), shares
)


def smooth(width, height, channels=3):
    """Return a picture whose values change slowly, so that filters with a support differ little at edges."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [127 + 100 * np.sin(x / 9 + c) * np.cos(y / 7 - c) for c in range(channels)]
    return Image.fromarray(np.stack(waves, axis=-1).round().astype(np.uint8))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("original", [(61, 97), (97, 61), (64, 64), (30, 41), (33, 200)])
@pytest.mark.parametrize("share", [1.0, 0.875, 0.95])
def test_pixels_are_those_of_timm(resize, interpolation, original, share):
    spec = ImageSpec(48, 48, 3, (0.5, 0.4, 0.3), (1.0,) * 3, resize, share, interpolation)
    image = noise(1, original[::-1])
    theirs = create_transform(
        (3, 48, 48),
        crop_pct=share,
        crop_mode=MODES[resize],
        interpolation=interpolation,
        mean=spec.mean,
        std=spec.std,
    )(image)
    expected = (theirs + torch.tensor(spec.mean)[:, None, None]).permute(1, 2, 0).mul(255).round().numpy()
    np.testing.assert_array_equal(to_pixels(image, spec), expected)


def test_pixels_are_those_of_torchvision():
    image = noise(2, (150, 101))
    theirs = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(56), transforms.PILToTensor()])(
        image
    )
    mine = to_pixels(image, ImageSpec(56, 56, 3, (0.5,) * 3, (0.5,) * 3, "crop", 56 / 64))
    np.testing.assert_array_equal(mine, theirs.permute(1, 2, 0).numpy())


@settings(max_examples=200, deadline=None)
@given(preparation=preparations, seed=st.integers(0, 99))
def test_places_return_to_where_they_came_from(preparation, seed):
    places = np.random.default_rng(seed).uniform(-20, 120, (5, 3, 4))
    for values in (places, places[..., :2]):
        there = preparation.to_input(values)
        np.testing.assert_allclose(preparation.to_original(there), values, atol=1e-9)
        np.testing.assert_allclose(preparation.to_input(preparation.to_original(values)), values, atol=1e-9)
    x0, y0, x1, y1 = preparation.visible
    assert 0 <= x0 < x1 <= preparation.original[1]
    assert 0 <= y0 < y1 <= preparation.original[0]
    np.testing.assert_allclose(preparation.to_input(preparation.visible), preparation.filled, atol=1e-9)


@settings(max_examples=200, deadline=None)
@given(preparation=preparations)
def test_what_each_resize_keeps(preparation):
    (height, width), (rows, columns) = preparation.size, preparation.scaled
    x0, y0, x1, y1 = preparation.visible
    if preparation.resize == "squash":
        assert (x1 - x0) / preparation.original[1] == pytest.approx(width / columns)
        assert (y1 - y0) / preparation.original[0] == pytest.approx(height / rows)
    if preparation.resize == "crop":
        assert preparation.filled == (0, 0, width, height)
    else:  # the middle of the picture is seen
        assert (x0 + x1) / 2 == pytest.approx(
            preparation.original[1] / 2, abs=preparation.original[1] / columns
        )
    if preparation.resize == "pad" and preparation.crop_share == 1:
        assert preparation.visible == pytest.approx((0, 0, preparation.original[1], preparation.original[0]))
    if preparation.resize != "squash":  # one scale, up to the rounding to whole pixels
        scales = rows / preparation.original[0], columns / preparation.original[1]
        smallest = max(1 / preparation.original[0], 1 / preparation.original[1])
        assert abs(scales[0] - scales[1]) <= smallest + 1e-9


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("original", [(57, 101), (101, 57), (40, 40)])
def test_a_thing_lies_where_its_box_and_its_mask_are(resize, share, original):
    """A white square, prepared as a picture, covers its box and its mask; and so does a map that is drawn back."""
    spec = ImageSpec(33, 47, 1, (0.0,), (1.0,), resize, share)
    preparation = Preparation.of(spec, original)
    middle = original[0] // 2, original[1] // 2
    mask = np.zeros(original, np.uint8)
    mask[middle[0] - 9 : middle[0] + 12, middle[1] - 13 : middle[1] + 8] = 255
    box = [middle[1] - 13, middle[0] - 9, middle[1] + 8, middle[0] + 12]
    seen = to_pixels(Image.fromarray(mask), spec)[..., 0] / 255
    x0, y0, x1, y1 = clipped(preparation.to_input(box), spec.size)
    assert seen.sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.06)
    y, x = np.nonzero(seen > 0.5)
    np.testing.assert_allclose([x.min(), y.min(), x.max() + 1, y.max() + 1], [x0, y0, x1, y1], atol=1)
    inside = preparation.mask_to_input(mask > 0)
    assert ((seen > 0.5) != inside).mean() < 0.03
    back = preparation.map_to_original((seen > 0.5).astype(np.float32)) > 0
    x0, y0, x1, y1 = clipped(preparation.visible, original).round().astype(int)
    assert ((mask > 0) != back)[y0:y1, x0:x1].mean() < 0.05
    outside = back.copy()
    outside[y0:y1, x0:x1] = False
    assert not outside.any()


def test_masks_keep_their_numbers_and_padding_is_zero():
    mask = np.array([[3, 7], [7, 3], [3, 3], [7, 7]], np.int64)
    converted = Preparation((4, 2), (8, 8), "pad").mask_to_input(mask)
    assert converted.dtype == np.int64
    np.testing.assert_array_equal(converted[:, 2:6], mask.repeat(2, 0).repeat(2, 1))
    assert not converted[:, :2].any()
    assert not converted[:, 6:].any()
    with pytest.raises(ValueError, match="expected shape"):
        Preparation((4, 3), (8, 8)).mask_to_input(mask)


def test_padding_has_the_mean_colour_and_extreme_pictures_are_read():
    spec = ImageSpec(8, 8, 3, (0.2, 0.4, 0.6), (1.0,) * 3, "pad")
    pixels = to_pixels(Image.new("RGB", (8000, 1), "white"), spec)
    assert pixels[0, 0].tolist() == [51, 102, 153]
    assert (pixels == 255).all(axis=(1, 2)).sum() == 1
    crop = ImageSpec(
        224, 224, 1, (0.0,), (1.0,), "crop", 0.1
    )  # as a whole, the scaled picture would have 50 GB
    assert to_pixels(Image.new("L", (1, 9999), 7), crop).tolist() == np.full((224, 224, 1), 7).tolist()


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_every_interpolation_and_old_behaviour_by_default(interpolation):
    image = smooth(40, 30)
    spec = ImageSpec(20, 20, 3, (0.5,) * 3, (0.5,) * 3, interpolation=interpolation)
    plain = image.resize((20, 20), Image.Resampling[interpolation.upper()])
    np.testing.assert_array_equal(to_pixels(image, spec), np.asarray(plain))
    assert ImageSpec(20, 20, 3, (0.5,) * 3, (0.5,) * 3) == ImageSpec(
        20, 20, 3, (0.5,) * 3, (0.5,) * 3, "squash", 1.0, "bilinear"
    )


def test_a_crop_of_pictures_of_the_models_own_size_is_not_left_out():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 1), dtype=np.uint8)
    source = ArraySource(pixels, [0, 1], ("a", "b"))
    spec = ImageSpec(16, 16, 1, (0.0,), (1.0,), "crop", 0.5)
    images = ImageDataset(source, spec).__getitems__([0, 1]).images
    expected = np.asarray(Image.fromarray(pixels[0, :, :, 0]).resize((32, 32), Image.Resampling.BILINEAR))[
        8:24, 8:24
    ]
    np.testing.assert_allclose(images[0, 0].numpy() * 255, expected.astype(float), atol=1e-4)


def test_specs_are_checked_and_old_folders_squash():
    spec = ModelSpec(("a", "b"), ImageSpec(8, 8, 1, (0.5,), (0.5,), "crop", 0.875, "bicubic"))
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    old = {"classes": ["a", "b"], "image": dict(height=8, width=8, channels=1, mean=[0.5], std=[0.5])}
    assert ModelSpec.from_dict(old).image.resize == "squash"
    for wrong in (
        {"resize": "zoom"},
        {"crop_share": 0.0},
        {"crop_share": float("nan")},
        {"interpolation": "cubic"},
    ):
        with pytest.raises(UserError):
            ImageSpec(8, 8, 1, (0.5,), (0.5,), **wrong)  # type: ignore[arg-type]
