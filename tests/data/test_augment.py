"""Augmentations against slow and simple re-implementations."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy import ndimage

from resemblance.config.image import ImageSpec
from resemblance.data import ArraySource, ImageDataset
from resemblance.data.augment import crop, flip, pipnet, protopnet
from resemblance.data.elastic import displacements, elastic

IMAGES = torch.rand(6, 3, 20, 31, generator=torch.Generator().manual_seed(0))


def generators(count=6):
    return [np.random.default_rng(seed) for seed in range(count)]


class Scripted:
    """A generator with fixed draws: the kind of warp, its parameters, and no mirroring."""

    def __init__(self, kind, value=0.0, axis=0):
        self.kind, self.value, self.axis = kind, value, axis

    def integers(self, high):
        return self.kind

    def uniform(self, low, high, count=None):
        assert low <= self.value <= high
        return self.value if count is None else np.full(count, self.value)

    def permutation(self, count):
        return np.array([self.axis, 1 - self.axis])

    def random(self):
        return 0.9


def plain_elastic(image, rng, sigma=4.0, alpha=20.0):
    """Deform one image (C, H, W) as in Simard et al. 2003, with scipy."""
    noise = rng.random((2, *image.shape[1:]), dtype=np.float32).astype(np.float64) * 2 - 1
    rows, columns = (ndimage.gaussian_filter(n, sigma, mode="constant", truncate=4) * alpha for n in noise)
    y, x = np.meshgrid(*(np.arange(n) for n in image.shape[1:]), indexing="ij")
    places = [y + rows, x + columns]
    return np.stack([ndimage.map_coordinates(c, places, order=1, mode="constant") for c in image])


@pytest.mark.parametrize("size", [(28, 28), (20, 31), (64, 5)])
def test_elastic(size):
    images = torch.rand(4, 2, *size, generator=torch.Generator().manual_seed(1))
    expected = [plain_elastic(image.numpy(), rng) for image, rng in zip(images, generators(4), strict=True)]
    torch.testing.assert_close(
        elastic(images, generators(4)), torch.tensor(np.stack(expected)).float(), atol=2e-4, rtol=0
    )


def test_elastic_displaces_by_three_quarters_of_a_pixel():
    noise = torch.rand(400, 2, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    fields = displacements(noise)
    assert 0.70 < fields.std() < 0.76
    assert 2.5 < fields.abs().max() < 4.5


def test_elastic_deforms_an_epoch_of_mnist_in_seconds():
    source = ArraySource(np.zeros((2000, 28, 28, 1), np.uint8), np.zeros(2000, int), ("a", "b"))
    dataset = ImageDataset(source, ImageSpec(28, 28, 1, (0.5,), (0.5,)), elastic)
    dataset.__getitems__([(0, 0)])
    started = time.process_time()
    for start in range(0, 2000, 250):
        dataset.__getitems__([(0, index) for index in range(start, start + 250)])
    assert (time.process_time() - started) * 30 < 12  # 60,000 images: about 2 seconds of one idle core


def test_flip():
    flipped = flip(IMAGES, generators())
    for image, result, rng in zip(IMAGES, flipped, generators(), strict=True):
        assert torch.equal(result, image.flip(-1) if rng.random() < 0.5 else image)
    many = flip(IMAGES[:1].expand(2000, -1, -1, -1), generators(2000))
    assert 0.45 < (many != IMAGES[:1]).flatten(1).any(1).float().mean() < 0.55


def test_crop():
    cropped = crop(IMAGES, generators())
    for image, result, rng in zip(IMAGES.numpy(), cropped.numpy(), generators(), strict=True):
        y, x = rng.integers(0, 5, 2)
        np.testing.assert_array_equal(
            result, np.pad(image, ((0, 0), (2, 2), (2, 2)))[:, y : y + 20, x : x + 31]
        )


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_protopnet_changes_nothing_with_amounts_of_zero(kind):
    same = protopnet(IMAGES, [Scripted(kind)] * 6)
    torch.testing.assert_close(same, IMAGES, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(40, 90), (90, 40), (61, 61)])
@pytest.mark.parametrize("angle", [-15, 10])
def test_protopnet_rotates_in_pixels(size, angle):
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    smooth = torch.exp(-((x - 8) ** 2 + (y - 5) ** 2) / 30)
    turned = protopnet(smooth[None, None], [Scripted(0, angle)])[0, 0]
    radians = np.deg2rad(angle)
    back = np.cos(radians) * x - np.sin(radians) * y, np.sin(radians) * x + np.cos(radians) * y
    expected = torch.exp(-((back[0] - 8) ** 2 + (back[1] - 5) ** 2) / 30)
    torch.testing.assert_close(turned, expected.float(), atol=0.02, rtol=0)


@pytest.mark.parametrize("axis", [0, 1])
def test_protopnet_shears_in_pixels(axis):
    height, width = 40, 90
    y, x = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    smooth = torch.exp(-((x - 8) ** 2 + (y - 5) ** 2) / 30)
    sheared = protopnet(smooth[None, None], [Scripted(2, 10, axis)])[0, 0]
    slope = np.tan(np.deg2rad(10))
    back = (x + slope * y, y) if axis == 0 else (x, y + slope * x)
    expected = torch.exp(-((back[0] - 8) ** 2 + (back[1] - 5) ** 2) / 30)
    torch.testing.assert_close(sheared, expected.float(), atol=0.02, rtol=0)


def test_protopnet_skews_and_shows_no_gaps():
    images = torch.ones(50, 1, 16, 16)
    torch.testing.assert_close(protopnet(images, generators(50)), images)
    skewed = protopnet(IMAGES, [Scripted(1, 0.2)] * 6)
    assert not torch.allclose(skewed, IMAGES, atol=0.1)


class Shape(Scripted):
    """Apply one operation at its full amount, and a crop of 95 % of the area in the middle."""

    def __init__(self, kind, amount=1.0, area=1.0):
        self.kind, self.given = kind, iter([amount, area, 0.0, 0.0, 0.0])

    def uniform(self, low, high, count=None):
        value = next(self.given)
        assert low <= value <= high
        return value


def spot(x0, y0, size=41):
    """Return an image with a bright spot at x0, y0 pixels from the middle."""
    y, x = torch.meshgrid(*(torch.arange(size) - (size - 1) / 2,) * 2, indexing="ij")
    return torch.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 8)[None, None]


@pytest.mark.parametrize(
    ("kind", "amount", "place"),
    [
        (0, 1.0, (8, -4)),
        (1, 1.0, (10, -4)),  # read at x + y / 2
        (2, -0.5, (8, -2)),
        (3, 1.0, (8 - 41 / 16, -4)),
        (4, 1.0, (8, -4 - 41 / 16)),
        (5, 0.5, (8 * 0.75**0.5 - 4 * 0.5, -8 * 0.5 - 4 * 0.75**0.5)),  # 30°
    ],
)
def test_pipnet_changes_shapes_about_the_middle(kind, amount, place):
    moved = pipnet(spot(8, -4), [Shape(kind, amount)])[0, 0]
    weights = moved / moved.sum()
    y, x = torch.meshgrid(*(torch.arange(41) - 20.0,) * 2, indexing="ij")
    assert (weights * x).sum().item() == pytest.approx(place[0], abs=0.05)
    assert (weights * y).sum().item() == pytest.approx(place[1], abs=0.05)


def test_pipnets_crop_shows_95_per_cent():
    closer = pipnet(spot(8, -4), [Shape(0, area=0.95)])[0, 0]
    side = 0.95**0.5
    torch.testing.assert_close(closer.sum(), spot(8, -4).sum() / 0.95, rtol=1e-2, atol=0)
    assert divmod(int(closer.argmax()), 41) == (20 + round(-4 / side), 20 + round(8 / side))
    assert pipnet(torch.ones(20, 3, 16, 24), generators(20)).shape == (20, 3, 16, 24)
