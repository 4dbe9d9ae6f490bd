"""Images are decoded once in a run; what is kept changes no bit, whatever happens to the file."""

from __future__ import annotations

import errno
import os
import pickle
from dataclasses import replace
from io import FileIO
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

import resemblance
from made_images import fill, png
from resemblance.config.image import ImageSpec
from resemblance.data import ArraySource, ImageDataset, loader, open_data
from resemblance.data.augment import flip_and_crop
from resemblance.data.benchmarks.box_crops import crop_to_boxes
from resemblance.data.compress import JpegAugment
from resemblance.data.pixels.keep_pixels import keep_pixels
from resemblance.data.pixels.pixel_cache import PixelCache
from resemblance.data.sources import file_source
from resemblance.data.sources.compressed import compress_classes
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits, Subset

SPEC = ImageSpec(9, 7, 3, (0.5,) * 3, (0.25,) * 3)
KEPT = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """Fourteen images of several sizes, and a folder for temporary files.

    Its path is short: loader processes listen on a socket in it, whose path has at most 108 characters.
    """
    folder = TemporaryDirectory()
    monkeypatch.setattr("tempfile.tempdir", folder.name)
    for number in range(14):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number, (20 + number, 16)))
    with folder:
        yield tmp_path / "data"


def leaf(source):
    return source.source if isinstance(source, Subset) else source


def epoch(source, number, workers=0, **options):
    """All images of an epoch, in two batches."""
    order = [(number, index) for index in range(len(source))]
    batches = loader(ImageDataset(source, SPEC, **options), 7, workers, sampler=order)
    return torch.cat([batch.images for batch in batches])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["", "compressed", "cropped"])
def test_the_second_epoch_decodes_nothing(photographs, change, workers, monkeypatch):
    """Also after a first one by loader processes, which then have ended."""
    splits = open_data(str(photographs))
    if change == "compressed":
        splits = compress_classes(splits, ["a"])
    elif change == "cropped":
        names = [
            one.name(index) for one in (splits.train, splits.val, splits.test) for index in range(len(one))
        ]
        splits = crop_to_boxes(splits, {name: (3, 1, 13, 14) for name in names})
    source = Joined(splits.train, splits.val)
    expected = [epoch(source, number, augment=flip_and_crop) for number in range(3)]
    keep_pixels(splits, None)
    assert epoch(source, 0, workers, augment=flip_and_crop).equal(expected[0])
    monkeypatch.setattr(file_source, "read_image", None)
    assert epoch(source, 1, workers, augment=flip_and_crop).equal(expected[1])
    assert epoch(source, 2, augment=flip_and_crop).equal(expected[2])


def test_what_changes_the_original_is_read_again(photographs):
    splits = open_data(str(photographs))
    jpeg = JpegAugment(0.5, 5)
    expected = [epoch(splits.train, number, jpeg=jpeg) for number in range(2)]
    keep_pixels(splits, None)
    for number in (0, 1, 0):
        assert epoch(splits.train, number, jpeg=jpeg).equal(expected[number])


def test_preparations_are_told_apart(photographs):
    splits = open_data(str(photographs))
    keep_pixels(splits, None)
    source, plain = splits.train, open_data(str(photographs)).train
    others = [
        SPEC,
        replace(SPEC, mean=(0.1,) * 3),
        replace(SPEC, resize="pad", padding=(0.1,) * 3),
        replace(SPEC, resize="pad", padding=(0.9,) * 3),
        replace(SPEC, interpolation="box"),
        replace(SPEC, height=7, width=9),
        ImageSpec(9, 7, 1, (0.5,), (0.5,)),
    ]
    for _ in range(2):
        for spec in others:
            assert np.array_equal(source.pixels(3, spec), plain.pixels(3, spec))
    files = os.listdir(leaf(source).kept.folder)
    assert len(files) == len(others) - 1  # the mean changes no pixel


def test_another_process_shares_the_files(photographs):
    cache = PixelCache(1 << 20)
    cache.put(2, SPEC, KEPT)
    other = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(other.get(2, SPEC), KEPT)
    other.put(5, SPEC, KEPT[::-1])
    assert np.array_equal(cache.get(5, SPEC), KEPT[::-1])
    del other
    assert cache.get(2, SPEC) is not None


def test_the_files_are_removed_with_their_maker_and_not_with_a_copy(photographs, monkeypatch):
    cache = PixelCache(1 << 20)
    cache.put(0, SPEC, KEPT)
    folder = cache.folder
    if hasattr(os, "fork"):
        child = os.fork()
        if not child:
            del cache
            os._exit(0)
        os.waitpid(child, 0)
    assert os.listdir(folder)
    copy = pickle.loads(pickle.dumps(cache))
    del cache
    assert not folder.exists()
    assert copy.get(0, SPEC) is None
    copy.put(0, SPEC, KEPT)  # nowhere


def test_what_was_not_completed_is_not_there(photographs, monkeypatch):
    cache, size = PixelCache(1 << 20), 1 + KEPT.size
    cache.put(1, SPEC, KEPT)
    [path] = cache.folder.iterdir()
    with path.open("r+b") as file:
        file.seek(3 * size + 1)
        file.write(KEPT.data)  # and killed before the byte that says so
    assert [cache.get(index, SPEC) is None for index in range(5)] == [True, False, True, True, True]
    os.truncate(path, 2 * size - 1)
    assert cache.get(1, SPEC) is None


@pytest.mark.parametrize("full", [False, True], ids=["the limit", "the disk"])
def test_what_has_no_room_is_decoded(photographs, full, monkeypatch):
    splits = open_data(str(photographs))
    expected = epoch(splits.train, 0)

    class FullDisk(FileIO):
        def write(self, data):
            if self.tell() > 1000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    if full:
        monkeypatch.setattr("resemblance.data.pixels.pixel_cache.FileIO", FullDisk)
    keep_pixels(splits, 1.0 if full else 1000e-9)
    for _ in range(2):
        assert epoch(splits.train, 0).equal(expected)
    kept = [leaf(splits.train).kept.get(index, SPEC) is not None for index in range(14)]
    assert 3 <= sum(kept) <= 6


def test_only_files_that_are_decoded_in_every_epoch_are_kept(photographs, tmp_path):
    splits = open_data(str(photographs))
    keep_pixels(splits, 0)
    assert leaf(splits.train).kept is None
    fill(tmp_path / "small", {"a": 3, "b": 3})
    small = open_data(str(tmp_path / "small"))  # images of one size, which stay in memory
    array = ArraySource(np.zeros((4, 8, 8, 1), np.uint8), [0, 1, 0, 1], ["a", "b"])
    for other in (small, DataSplits(array, array, None, array.classes, "array")):
        keep_pixels(other, None)
        assert leaf(other.train).kept is None


def test_a_run_has_the_same_weights_without(photographs, tmp_path, monkeypatch):
    options = {"data": str(photographs), "encoder": "small", "image_size": 16, "augment": "flip", "epochs": 2}
    options |= {"batch_size": 4, "report": False, "progress": False}
    read, decoded = file_source.read_image, []
    monkeypatch.setattr(file_source, "read_image", lambda *given: decoded.append(given) or read(*given))
    weights, counts = [], []
    for gigabytes in (None, 0):
        decoded.clear()
        run = resemblance.train(
            "blackbox", output=tmp_path / f"{gigabytes}", pixel_cache=gigabytes, **options
        )
        weights.append(run.model.state_dict())
        counts.append(len(decoded))
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    assert counts[0] == 14 + 14 < counts[1]  # once when they are checked, once for the model
