"""Changes of pictures: what they do to known pictures, that they are repeatable, and sources that apply them."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from made_images import noise
from resemblance.audit.shifts.image_changes import CHANGES, ImageChange
from resemblance.audit.shifts.image_versions import read_versions
from resemblance.config.image import ImageSpec
from resemblance.data.dataset import ImageDataset
from resemblance.data.sources.changed import ChangedSource
from resemblance.data.sources.source import ArraySource


def flat(level: int, side: int = 64, mode: str = "L") -> Image.Image:
    return Image.new(mode, (side, side), level if mode == "L" else (level,) * 3)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float64) / 255


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (31, 17)])
def test_a_change_keeps_mode_and_size_and_depends_on_seed_and_picture_alone(name, channels, size):
    image = noise(1, size, channels)
    before = image.tobytes()
    changed = CHANGES[name](image, 3)
    assert (changed.mode, changed.size) == (image.mode, size)
    assert image.tobytes() == before
    assert CHANGES[name](image.copy(), 3) == changed
    if size != (1, 1):
        assert changed != image


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "rayleigh_noise"])
def test_noise_differs_between_seeds_and_between_pictures(name):
    assert CHANGES[name](flat(100), 0) != CHANGES[name](flat(100), 1)
    residues = [pixels(CHANGES[name](flat(level), 0)) - level / 255 for level in (100, 101)]
    assert abs(np.corrcoef(residues[0].ravel(), residues[1].ravel())[0, 1]) < 0.1


def test_the_distributions_of_noise():
    side, middle = 256, 128 / 255
    gaussian = pixels(CHANGES["gaussian_noise"](flat(128, side)))
    assert gaussian.mean() == pytest.approx(middle, abs=2e-3)
    assert gaussian.std() == pytest.approx(0.08, abs=2e-3)
    speckle = pixels(CHANGES["speckle_noise"](flat(128, side)))
    assert speckle.std() == pytest.approx(0.15 * middle, abs=2e-3)
    assert CHANGES["speckle_noise"](flat(0)) == flat(0)
    # On black: mean σ√(π/2), deviation σ√(2 − π/2), the moments of a Rayleigh distribution.
    rayleigh = pixels(CHANGES["rayleigh_noise"](flat(0, side)))
    assert rayleigh.mean() == pytest.approx(0.08 * np.sqrt(np.pi / 2), abs=2e-3)
    assert rayleigh.std() == pytest.approx(0.08 * np.sqrt(2 - np.pi / 2), abs=2e-3)
    # On a bright picture, the magnitude has the mean √(a² + σ²), nearly.
    bright = pixels(CHANGES["rayleigh_noise"](flat(128, side)))
    assert bright.mean() == pytest.approx(middle + 0.08**2 / (2 * middle), abs=2e-3)


def test_brightness_is_a_blend_with_black_or_white():
    levels = Image.fromarray(np.array([[0, 100, 255]], dtype=np.uint8))
    assert np.asarray(CHANGES["darker"](levels)).tolist() == [[0, 70, 178]]
    assert np.asarray(CHANGES["lighter"](levels)).tolist() == [[76, 146, 255]]


def test_blur_has_the_deviation_of_its_strength():
    dot = np.zeros((225, 225), dtype=np.uint8)
    dot[112, 112] = 255
    image = Image.fromarray(dot).convert("L")
    wide = replace(CHANGES["blur"], strength=4 / 225)(image)
    profile = np.asarray(wide, dtype=np.float64).sum(axis=0)
    places = np.arange(225)
    variance = ((places - 112) ** 2 * profile).sum() / profile.sum()
    assert np.sqrt(variance) == pytest.approx(4, rel=0.15)  # 8 bits cut off the tails
    assert CHANGES["blur"](flat(77, 12)) == flat(77, 12)
    assert CHANGES["blur"](noise(0, (8, 8), 1)) != noise(0, (8, 8), 1)  # never less than 0.6 pixels


def test_rotation_turns_about_the_middle_to_either_side_and_repeats_the_border():
    image = noise(0, (41, 41), 1)
    draws = {CHANGES["rotation"](image, seed).tobytes() for seed in range(8)}
    assert len(draws) == 2
    assert CHANGES["rotation"](flat(200)) == flat(200)  # no black corners
    bar = np.zeros((41, 41), dtype=np.uint8)
    bar[20] = 255
    turned = np.asarray(CHANGES["rotation"](Image.fromarray(bar)), dtype=np.float64)
    heights = [(turned[:, x] * np.arange(41)).sum() / turned[:, x].sum() for x in (0, 40)]
    assert abs(heights[0] - heights[1]) == pytest.approx(40 * np.tan(np.deg2rad(5)), rel=0.1)
    assert sum(heights) / 2 == pytest.approx(20, abs=0.2)


def test_resizing_removes_what_half_the_resolution_cannot_show():
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (32, 16))
    middle = np.asarray(CHANGES["resizing"](Image.fromarray(stripes)))[:, 4:-4]
    assert np.ptp(middle) <= 2
    assert CHANGES["resizing"](flat(50)) == flat(50)


def test_jpeg_is_that_of_pillow():
    image = noise(2, (24, 16), 3)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=20)
    assert CHANGES["jpeg"](image).tobytes() == Image.open(io.BytesIO(file.getvalue())).tobytes()
    assert CHANGES["jpeg"].words == "JPEG, quality 20"


def grey_source(count: int = 6, side: int = 8) -> ArraySource:
    array = np.random.default_rng(0).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    return ArraySource(array, np.arange(count) % 3, ["a", "b", "c"])


def shifted_by(
    source: ArraySource, change: ImageChange, seed: int = 0, only: list[int] | None = None
) -> ChangedSource:
    return ChangedSource(source, partial(change, seed=seed), f"{change.words}, seed {seed}", only)


def test_a_shifted_source_changes_pictures_and_nothing_else():
    source = grey_source()
    shifted = shifted_by(source, CHANGES["gaussian_noise"], seed=4)
    assert len(shifted) == 6
    assert shifted.classes == source.classes
    assert (shifted.labels == source.labels).all()
    assert (shifted.shapes == source.shapes).all()
    assert shifted.name(3) == source.name(3)
    assert (source.array == grey_source().array).all()
    assert shifted.read(3) == CHANGES["gaussian_noise"](source.read(3), 4)
    stamps = {shifted.stamp(3), source.stamp(3), shifted_by(source, CHANGES["gaussian_noise"]).stamp(3)}
    assert len(stamps) == 3


def test_a_shifted_source_can_change_some_classes_alone():
    source = grey_source()
    shifted = shifted_by(source, CHANGES["darker"], only=[2])
    assert [shifted.read(index) == source.read(index) for index in range(6)] == [True, True, False] * 2
    assert shifted.stamp(0) == source.stamp(0)
    assert shifted.stamp(2) != source.stamp(2)


@pytest.mark.parametrize("side", [8, 6])
def test_loaders_read_what_versions_have(side):
    """The images of several versions, read once, are those of as many sources."""
    spec = ImageSpec(side, side, 1, (0.5,), (0.5,))
    source, changes = grey_source(), list(CHANGES.values())
    versions = read_versions(source, [4, 1], changes, spec, seed=5)
    assert versions.shape == (1 + len(changes), 2, 1, side, side)
    sources = [source, *(shifted_by(source, change, seed=5) for change in changes)]
    for version, other in zip(versions, sources, strict=True):
        assert torch.equal(version, ImageDataset(other, spec).__getitems__([4, 1]).images)
    assert read_versions(source, [], changes, spec).shape == (1 + len(changes), 0, 1, side, side)
