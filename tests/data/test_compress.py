"""JPEG compression: of whole classes, and as an augmentation that depends on (seed, stage, epoch, index) alone."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.data import ArraySource, ImageDataset, Source, Subset
from resemblance.data.augment import get_augment
from resemblance.data.compress import JpegAugment, compress
from resemblance.data.sources.compressed import (
    CompressedSource,
    choose_classes,
    compress_classes,
    uncompressed,
)
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits

CLASSES = ("cat", "dog", "emu")
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 12, 10, 3), dtype=np.uint8)
SPEC = ImageSpec(12, 10, 3, (0.5,) * 3, (0.5,) * 3)


def source_of(channels=3, count=30):
    return ArraySource(PIXELS[:count, :, :, :channels], np.arange(count) % 3, CLASSES)


class Photographs(Source):
    """Images that are not in memory."""

    def __init__(self):
        self.classes, self.labels = CLASSES, np.arange(6) % 3
        self.shapes = np.array([[40 + index, 30, 3] for index in range(6)])

    def read(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, tuple(self.shapes[index]), dtype=np.uint8)
        return Image.fromarray(pixels)

    def name(self, index):
        return f"photograph {index}"


def plain_jpeg(pixels, quality=20):
    file = BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).reshape(pixels.shape)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_compressed_picture_is_read_from_a_jpeg_file(mode):
    picture = Image.fromarray(PIXELS[0]).convert(mode)
    pixels = np.asarray(picture).reshape(12, 10, -1)
    compressed = compress(picture)
    assert (compressed.mode, compressed.size) == (mode, (10, 12))
    assert np.array_equal(np.asarray(compressed).reshape(pixels.shape), plain_jpeg(pixels))
    assert not np.array_equal(np.asarray(compressed), np.asarray(compress(picture, 80)))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_the_classes_are_compressed_and_no_others(channels):
    source = source_of(channels)
    before = source.array.copy()
    altered = CompressedSource(source, [1])
    assert np.array_equal(source.array, before)
    assert altered.changed.tolist() == (source.labels == 1).tolist()
    for index in range(6):
        pixels = before[index]
        expected = plain_jpeg(pixels) if source.labels[index] == 1 else pixels
        assert np.array_equal(altered.array[index], expected)
        assert np.array_equal(np.asarray(altered.read(index)).reshape(pixels.shape), expected)
        assert altered.name(index) == source.name(index)
        assert (altered.stamp(index) == source.stamp(index)) == (source.labels[index] != 1)
    assert altered.stamp(1) != CompressedSource(source, [1], quality=30).stamp(1)
    assert uncompressed(altered) is source
    assert uncompressed(source) is None


def test_photographs_are_compressed_before_they_are_resized():
    source, small = Photographs(), ImageSpec(12, 10, 3, (0.5,) * 3, (0.5,) * 3)
    altered = CompressedSource(source, [2])
    assert altered.array is None
    batch = ImageDataset(altered, small).__getitems__([1, 2])
    expected = Image.fromarray(plain_jpeg(np.asarray(source.read(2)))).resize(
        (10, 12), Image.Resampling.BILINEAR
    )
    assert np.array_equal(batch.images[1].numpy().transpose(1, 2, 0) * 255, np.asarray(expected))
    plain = ImageDataset(source, small).__getitems__([1, 2])
    assert bool((plain.images[0] == batch.images[0]).all())


@pytest.mark.parametrize("source", [source_of(), Photographs()], ids=["array", "files"])
def test_parts_of_it_are_compressed_too(source):
    altered = CompressedSource(source, [0])
    parts = Subset(altered, [3, 1]), Joined(altered, altered)
    assert np.array_equal(np.asarray(parts[0].read(0)), np.asarray(altered.read(3)))
    assert np.array_equal(np.asarray(parts[1].read(len(source) + 3)), np.asarray(altered.read(3)))
    assert parts[0].stamp(0) == altered.stamp(3)


def test_half_of_the_classes_is_drawn_by_the_seed():
    names = [f"class {index}" for index in range(9)]
    draws = {choose_classes(["half"], names, seed) for seed in range(20)}
    assert {len(draw) for draw in draws} == {4}
    assert len(draws) > 10
    assert set().union(*draws) == set(range(9))
    assert choose_classes(["half"], names, 3) == choose_classes(["half"], names, 3)
    assert len(choose_classes(["half"], CLASSES, 0)) == 1


def test_the_released_classes_have_odd_numbers():
    assert choose_classes(["odd"], CLASSES, 0) == (1,)
    assert choose_classes(["odd"], [str(index) for index in range(200)], 0) == tuple(range(1, 200, 2))


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (["cart"], "there is no class 'cart'; did you mean 'cat'"),
        (["half", "dog"], "there is no class 'half'"),
        ([], "none of 3 classes"),
    ],
)
def test_classes_that_do_not_exist_are_refused(which, message):
    with pytest.raises(UserError, match=message):
        choose_classes(which, CLASSES, 0)
    with pytest.raises(UserError, match="none of 1 classes"):
        choose_classes(["half"], ["cat"], 0)


def test_splits_say_that_they_are_compressed():
    splits = DataSplits(source_of(), source_of(count=6), None, CLASSES, "animals", ["a note"])
    altered = compress_classes(splits, ["emu", "dog"], quality=30)
    assert altered.name == "animals (JPEG 30 of 2 classes)"
    assert altered.notes[:2] == ["a note", "images of dog, emu are compressed as JPEG of quality 30"]
    assert "8×8 block" in altered.notes[2]
    assert altered.test is None
    assert all(isinstance(part, CompressedSource) for part in (altered.train, altered.val))
    assert splits.notes == ["a note"]
    large = ArraySource(np.zeros((2, 64, 64, 1), np.uint8), [0, 1], CLASSES)
    assert len(compress_classes(DataSplits(large, large, None, CLASSES, "x"), ["cat"]).notes) == 1


@pytest.mark.parametrize("source", [source_of(), Photographs()], ids=["array", "files"])
def test_a_share_of_the_training_images_is_compressed(source):
    def batch(epoch, indices, **options):
        settings = {"seed": 1, "stage": 2, "jpeg": JpegAugment(0.5), **options}
        return ImageDataset(source, SPEC, **settings).__getitems__([(epoch, index) for index in indices])

    def changed(epoch, **options):
        every = range(len(source))
        plain = batch(epoch, every, jpeg=None)
        return (batch(epoch, every, **options).images != plain.images).flatten(1).any(dim=1).tolist()

    whole, part = batch(4, range(len(source))).images, batch(4, [5, 2]).images
    assert bool((part == whole[[5, 2]]).all())
    draws = [changed(epoch) for epoch in range(20)]
    assert 0.35 < np.mean(draws) < 0.65
    assert changed(3) == changed(3)
    assert len({tuple(draw) for draw in [*draws, changed(3, seed=2), changed(3, stage=3)]}) > 15
    assert changed(0, jpeg=JpegAugment(1.0)) == [True] * len(source)
    assert changed(0, jpeg=JpegAugment(0.0)) == [False] * len(source)
    with_epoch, without = ImageDataset(source, SPEC, jpeg=JpegAugment(1.0)), ImageDataset(source, SPEC)
    assert bool((with_epoch.__getitems__([0, 1]).images == without.__getitems__([0, 1]).images).all())


def test_compression_does_not_change_the_draws_of_the_augmentation():
    source = ArraySource(np.full((4, 12, 10, 3), 128, np.uint8), [0] * 4, CLASSES)  # grey survives JPEG
    keys = [(7, index) for index in range(4)]
    batches = [
        ImageDataset(source, SPEC, get_augment("flip+crop"), jpeg=jpeg).__getitems__(keys).images
        for jpeg in (None, JpegAugment(0.5))
    ]
    assert bool((batches[0] == batches[1]).all())
