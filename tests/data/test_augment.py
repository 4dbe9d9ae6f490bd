"""Augmentations against slow and simple re-implementations."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import perspective

from resemblance.config.image import ImageSpec
from resemblance.data import ArraySource, ImageDataset
from resemblance.data.augmentation.elastic import displacements, elastic
from resemblance.data.augmentation.flip_crop import crop, flip
from resemblance.data.augmentation.part_copies import protopnet, tesnet
from resemblance.data.augmentation.pipnet_shapes import pipnet
from resemblance.data.augmentation.prototree_views import prototree, prototree_cars

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


class Grid(Scripted):
    """Distort by a grid whose inner corners move by the given shares of the largest distance; no mirroring."""

    def __init__(self, moves):
        self.kind, self.moves = 3, moves

    def uniform(self, low, high, count):
        assert (low, high, count) == (-1, 1, self.moves.shape)
        return self.moves


def test_tesnet_distorts_by_a_grid():
    moves = np.random.default_rng(0).uniform(-1, 1, (2, 9, 9))
    image = torch.rand(1, 1, 60, 112, generator=torch.Generator().manual_seed(3))
    corners = np.zeros((2, 11, 11))
    corners[:, 1:-1, 1:-1] = moves * np.array([112, 60])[:, None, None] * 5 / 224  # pixels along x, y
    y, x = np.meshgrid(np.arange(60.0), np.arange(112.0), indexing="ij")
    tiles = [(y + 0.5) / 60 * 10, (x + 0.5) / 112 * 10]
    dx, dy = (ndimage.map_coordinates(one, tiles, order=1) for one in corners)
    expected = ndimage.map_coordinates(image[0, 0].numpy(), [y + dy, x + dx], order=1, mode="nearest")
    result = tesnet(image, [Grid(moves)])[0, 0]
    torch.testing.assert_close(result, torch.from_numpy(expected), atol=2e-4, rtol=0)


def test_three_quarters_of_tesnets_copies_are_protopnets():
    rngs = generators(400)
    kinds = [rng.integers(4) for rng in rngs]
    assert 80 < kinds.count(3) < 120
    images = IMAGES[:1].expand(400, -1, -1, -1)
    rows = [row for row, kind in enumerate(kinds) if kind < 3]
    copies = tesnet(images, generators(400))
    assert torch.equal(copies[rows], protopnet(images[rows], [rngs[row] for row in rows]))


class Corners(Scripted):
    """Change the perspective alone: the corners move inwards by given shares of the largest distance."""

    def __init__(self, moves):
        self.moves, self.drawn = moves, iter([0.0, moves, 0.9, 0.9])

    def random(self, count=None):
        return next(self.drawn)

    def uniform(self, low, high, count=None):
        middle = (low + high) / 2
        return middle if count is None else np.full(count, middle)

    def permutation(self, count):
        return np.arange(count)


def test_prototree_changes_the_perspective_as_torchvision_does():
    moves = np.random.default_rng(1).random((4, 2))
    side = 101
    image = spot(18, -22, side) + spot(-25, 9, side) + spot(12, 28, side)
    ends = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * moves * 0.2 * side / 2
    expected = perspective(
        image, (ends - 0.5).tolist(), (ends + inwards - 0.5).tolist(), InterpolationMode.BILINEAR
    )
    result = prototree(image, [Corners(moves)])
    torch.testing.assert_close(result, expected, atol=0.05, rtol=0)
    assert not torch.allclose(result, image, atol=0.3)


def test_prototree_changes_nothing_with_amounts_of_zero():
    class Still(Corners):
        def random(self, count=None):
            return 0.9

    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(prototree(images, [Still(None)] * 2), images, atol=1e-4, rtol=0)
    closer = prototree_cars(spot(6, -4), [Still(None)])[0, 0]  # the middle of an image scaled to 256 pixels
    assert divmod(int(closer.argmax()), 41) == (20 + round(-4 * 256 / 224), 20 + round(6 * 256 / 224))


def test_prototrees_colours():
    images = torch.full((600, 3, 4, 4), 0.5)
    images[:, 0] = 0.6
    birds, cars = prototree(images, generators(600)), prototree_cars(images, generators(600))
    middle = birds[:, :, 1:3, 1:3].amax(dim=(2, 3))
    assert 0.25 < middle[:, 0].min() < middle[:, 0].max() < 1
    order = (middle[:, 0] > middle[:, 1] - 1e-6).float().mean()  # birds stay red, cars take any colour
    assert order > 0.99
    recoloured = cars[:, :, 1:3, 1:3].amax(dim=(2, 3))
    assert (recoloured[:, 0] > recoloured[:, 1]).float().mean() < 0.8
