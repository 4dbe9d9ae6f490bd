"""Views, compared with Pillow, which has TrivialAugment's operations, and with plain shifts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from resemblance.methods.pipnet import views
from resemblance.methods.pipnet.config import VIEW_COLOURS

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), dtype=np.uint8)
IMAGES = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).float() / 255
CHANGE = torch.tensor([-1.0, 0.3, 0.9])
ENHANCERS = {
    views.brightness: (ImageEnhance.Brightness, 0.5),
    views.colour: (ImageEnhance.Color, 0.02),
    views.any_colour: (ImageEnhance.Color, 0.5),
    views.contrast: (ImageEnhance.Contrast, 0.5),
    views.sharpness: (ImageEnhance.Sharpness, 0.5),
}


def from_pillow(images):
    return torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255 for image in images])


@pytest.mark.parametrize("operation", ENHANCERS)
def test_factors_are_pillows(operation):
    enhancer, largest = ENHANCERS[operation]
    expected = [
        enhancer(Image.fromarray(pixels)).enhance(1 + largest * change)
        for pixels, change in zip(PIXELS, CHANGE.tolist(), strict=True)
    ]
    # Pillow rounds to whole levels, before and after.
    torch.testing.assert_close(operation(IMAGES, CHANGE), from_pillow(expected), atol=2.1 / 255, rtol=0)


def test_posterising_keeps_the_highest_bits():
    expected = [
        ImageOps.posterize(Image.fromarray(pixels), 8 - round(6 * abs(change)))
        for pixels, change in zip(PIXELS, CHANGE.tolist(), strict=True)
    ]
    torch.testing.assert_close(views.posterise(IMAGES, CHANGE), from_pillow(expected))


def test_solarising_inverts_bright_pixels():
    expected = [
        ImageOps.solarize(Image.fromarray(pixels), 255 * (1 - abs(change)))
        for pixels, change in zip(PIXELS, CHANGE.tolist(), strict=True)
    ]
    torch.testing.assert_close(views.solarise(IMAGES, CHANGE), from_pillow(expected))


def test_views_of_cars_differ_more_in_colour():
    assert len(views.OPERATIONS["cars"]) == 9
    assert tuple(views.OPERATIONS) == VIEW_COLOURS
    images = IMAGES[:1].repeat(500, 1, 1, 1)
    distance = {}
    for kind in VIEW_COLOURS:
        torch.manual_seed(0)
        distance[kind] = (views.recoloured(images, kind=kind) - images).abs().mean()
    assert distance["cars"] > distance["birds"]


@pytest.mark.parametrize(
    ("operation", "plain"), [(views.autocontrast, ImageOps.autocontrast), (views.equalise, ImageOps.equalize)]
)
def test_levels_are_pillows(operation, plain):
    expected = from_pillow([plain(Image.fromarray(pixels)) for pixels in PIXELS])
    torch.testing.assert_close(operation(IMAGES, CHANGE), expected, atol=2.1 / 255, rtol=0)


def test_all_operations_are_used_and_shapes_do_not_change():
    torch.manual_seed(0)
    images = IMAGES[:1].repeat(200, 1, 1, 1)
    changed = views.recoloured(images)
    same = (changed == images).all(dim=(1, 2, 3)).float().mean().item()
    assert 1 / 8 <= same < 0.5  # the eighth that does not change, and those that hardly change
    assert changed.min() >= 0
    assert changed.max() <= 1
    # A single pixel of another colour is not moved by any operation on colours.
    spot = torch.zeros(200, 3, 9, 7)
    spot[:, :, 4, 3] = 1
    assert (views.recoloured(spot).sum(dim=1).flatten(1).argmax(dim=1) == 4 * 7 + 3).all()


def test_grey_images_and_strength_zero():
    images = torch.rand(50, 1, 6, 6)
    assert views.recoloured(images).shape == images.shape
    assert views.recoloured(images, 0) is images
    torch.testing.assert_close(views.colour(images, torch.ones(50)), images)


@pytest.mark.parametrize("most", [1, 4, 5])
def test_shifts_are_crops_from_a_larger_image(most):
    torch.manual_seed(0)
    images = torch.rand(60, 2, 8, 9)
    shifted = views.shifted(images, most)
    padded = torch.nn.functional.pad(images, (most,) * 4, mode="replicate")
    low = most // 2
    offsets = set()
    for b in range(60):
        fits = [
            (dy, dx)
            for dy in range(-low, most + 1 - low)
            for dx in range(-low, most + 1 - low)
            if torch.equal(shifted[b], padded[b, :, most + dy : most + dy + 8, most + dx : most + dx + 9])
        ]
        assert len(fits) == 1
        offsets.update(fits)
    assert {dy for dy, _ in offsets} == {dx for _, dx in offsets} == set(range(-low, most + 1 - low))
    assert views.shifted(images, 0) is images
