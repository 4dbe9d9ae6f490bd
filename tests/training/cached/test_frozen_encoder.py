"""Latents are found again by all that they depend on, and by nothing else."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from frozen import counting_images, made_with_weights
from resemblance.data import open_data
from resemblance.data.augment import AUGMENTATIONS, get_augment
from resemblance.data.dataset import ImageDataset
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import Subset
from resemblance.data.transforms import to_pixels
from resemblance.training.cached.encoded_images import EncodedImages
from resemblance.training.cached.frozen_encoder import FrozenEncoder, bytes_per_image
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.ends.passes import evaluating
from tiny import digits


@pytest.fixture
def model(tmp_path):
    return made_with_weights("protopnet", tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEMBLANCE_CACHE", str(tmp_path / "cache"))


def images_read(model, source, **options):
    """How many images of the source the encoder reads; it also reads two test images."""
    with counting_images() as counts:
        FrozenEncoder(model, LatentCache.of_user(1)).encode(source, **options)
    return sum(counts) - 2


def test_latents_are_those_of_the_encoder(model):
    source = digits(70, 5).train
    encoded = FrozenEncoder(model, LatentCache.of_user(1)).encode(source)
    batch = encoded.__getitems__([3, 60, (5, 0)])
    images = ImageDataset(source, model.spec.image).__getitems__([3, 60, 0])
    with evaluating(model):
        assert torch.allclose(batch.encoded, model.encode(images.images), atol=1e-6)
    assert batch.labels.tolist() == images.labels.tolist()
    assert batch.indices.tolist() == [3, 60, 0]
    assert [len(part.labels) for part in encoded.batches(32)] == [32, 32, 6]


def test_each_image_is_read_once(model):
    source = digits(40, 5).train
    assert images_read(model, source) == 40
    assert images_read(model, source) == 0


def test_another_head_or_add_on_finds_the_same_latents(model, tmp_path):
    source = digits(40, 5).train
    assert images_read(model, source) == 40
    assert images_read(made_with_weights("protopnet", tmp_path, seed=5, prototypes_per_class=3), source) == 0
    assert images_read(made_with_weights("prototree", tmp_path), source) == 0


def test_other_weights_images_or_sizes_have_their_own_latents(model):
    source = digits(40, 5).train
    images_read(model, source)
    buffers = dict(model.encoder.named_buffers())
    mean = next(buffer for name, buffer in buffers.items() if name.endswith("running_mean"))
    with torch.no_grad():
        mean += 1e-3
    assert images_read(model, source) == 40
    assert images_read(model, Subset(source, range(1, 40))) == 39
    changed = digits(40, 5).train
    changed.array = changed.array.copy()
    changed.array[0, 0, 0, 0] ^= 1
    assert images_read(model, changed) == 40


def test_code_that_changed_has_its_own_latents(model):
    """The same tensors, another function: as between paddings or activations of two networks."""
    source = digits(40, 5).train
    images_read(model, source)
    original = model.encode
    model.encode = lambda images: original(images) + 1
    assert images_read(model, source) == 40


def test_preparation_that_changed_has_its_own_latents(model, tmp_path, monkeypatch):
    """The same files, other pixels: as between two versions of Pillow."""
    source = photographs(tmp_path / "data")
    images_read(model, source)
    monkeypatch.setattr("resemblance.data.sources.source.to_pixels", lambda *image: to_pixels(*image) // 2)
    assert images_read(model, source) == len(source)


def test_augmentation_that_changed_has_its_own_latents(model, monkeypatch):
    source = digits(40, 5).train
    images_read(model, source, augment="crop")
    monkeypatch.setitem(AUGMENTATIONS, "crop", lambda images, random: images)
    assert images_read(model, source, augment="crop") == 40


def test_views_are_the_augmented_images(model):
    source = digits(40, 5).train
    encoded = FrozenEncoder(model, LatentCache.of_user(1)).encode(source, "crop", 2, seed=3)
    images = ImageDataset(source, model.spec.image, get_augment("crop"), seed=3)
    for epoch in range(4):
        keys = [(epoch, 4), (epoch, 11)]
        view = images.__getitems__([(epoch % 2, 4), (epoch % 2, 11)])
        with evaluating(model):
            assert torch.allclose(encoded.__getitems__(keys).encoded, model.encode(view.images), atol=1e-6)
    assert images_read(model, source, augment="crop", views=3, seed=3) == 40  # one more view
    assert images_read(model, source, augment="crop", views=2, seed=4) == 80


def test_two_parts_are_found_again_as_one(model):
    splits = digits(40, 10)
    images_read(model, splits.train)
    both = Joined(splits.train, splits.val)
    assert images_read(model, both) == 10
    encoded = FrozenEncoder(model, LatentCache.of_user(1)).encode(both)
    part = FrozenEncoder(model, LatentCache.of_user(1)).encode(splits.val)
    assert torch.equal(encoded.__getitems__([39, 40, 49]).encoded[1:], part.__getitems__([0, 9]).encoded)
    assert encoded.labels.tolist() == both.labels.tolist()


def test_half_precision_keeps_its_bits(model):
    source = digits(40, 5).train
    autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    encoded = FrozenEncoder(model, LatentCache.of_user(1), autocast).encode(source)
    images = ImageDataset(source, model.spec.image).__getitems__(range(32))
    with evaluating(model), autocast():
        expected = model.encode(images.images)
    assert expected.dtype == torch.bfloat16
    assert torch.equal(encoded.__getitems__(range(32)).encoded, expected)
    with autocast():
        assert bytes_per_image(model) * 2 == bytes_per_image_in_full(model)


def bytes_per_image_in_full(model):
    with torch.autocast("cpu", enabled=False):
        return bytes_per_image(model)


def test_latents_are_kept_within_the_budget_only(model):
    source = digits(40, 5).train
    needed = 40 * bytes_per_image(model) / 1e9
    assert KeptLatents(model, LatentCache.of_user(0)).of(source) is None
    assert KeptLatents(model, LatentCache.of_user(0.9 * needed)).of(source) is None
    assert isinstance(KeptLatents(model, LatentCache.of_user(1.1 * needed)).of(source), EncodedImages)


def photographs(folder, shade=100):
    for name in "ab":
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            pixels = np.full((9 + number, 12, 3), shade + number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return open_data(str(folder), val_fraction=0.4).train


def test_files_are_recognised_without_reading_them(model, tmp_path, monkeypatch):
    source = photographs(tmp_path / "data")
    count = len(source)
    assert images_read(model, source) == count
    monkeypatch.setattr(type(source.source), "read", None)
    assert images_read(model, source) == 0


def test_a_file_that_changes_is_noticed(model, tmp_path):
    images_read(model, photographs(tmp_path / "data"))
    source = photographs(tmp_path / "data", shade=120)  # of the same sizes
    assert images_read(model, source) == len(source)
    path = tmp_path / "data" / "a" / "0.png"
    before = source.source.stamp(0)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10))
    assert source.source.stamp(0) != before
