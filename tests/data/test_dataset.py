"""Batches: the same pixels on every path; augmentation depends only on (seed, stage, epoch, index)."""

from __future__ import annotations

import multiprocessing
import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from made_images import encoded, files_of, noise, png, refusal, zip_of
from resemblance.config.image import ImageSpec
from resemblance.data import (
    ArraySource,
    ImageDataset,
    Source,
    Subset,
    loader,
    open_data,
    read_image,
    to_tensor,
)
from resemblance.data.augment import AUGMENTATIONS, get_augment
from resemblance.data.loader import identity_collate
from resemblance.data.sources import file_source
from resemblance.data.transforms import to_pixels

GREY = ImageSpec(12, 10, 1, (0.5,), (0.5,))
PIXELS = np.random.default_rng(0).integers(0, 256, (30, 12, 10, 3), dtype=np.uint8)
NAMES = [name for name, augment in AUGMENTATIONS.items() if augment]


def source_of(channels=1, count=30):
    return ArraySource(PIXELS[:count, :, :, :channels], np.arange(count) % 3, ("a", "b", "c"))


class Read(Source):
    """Another source without its fast path."""

    def __init__(self, source):
        self.source = source
        self.classes, self.labels, self.shapes = source.classes, source.labels, source.shapes

    def read(self, index):
        return self.source.read(index)

    def name(self, index):
        return self.source.name(index)


@pytest.mark.parametrize("stored", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 10), (7, 15)])
def test_the_fast_path_equals_the_slow_one(stored, channels, size):
    spec = ImageSpec(*size, channels, (0.5,) * channels, (0.5,) * channels)
    source = source_of(stored)
    fast = ImageDataset(source, spec).__getitems__([3, 0, 29])
    slow = ImageDataset(Read(source), spec).__getitems__([3, 0, 29])
    assert torch.equal(fast.images, slow.images)
    assert fast.images.shape == (3, channels, *size)
    assert fast.labels.tolist() == [0, 0, 2]
    assert fast.indices.tolist() == [3, 0, 29]
    assert torch.equal(fast.images[1], to_tensor(source.read(0), spec))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 29)), min_size=1, max_size=6),
    seed=st.integers(0, 2**40),
    stage=st.integers(0, 9),
)
def test_augmentation_depends_only_on_the_key(name, keys, seed, stage):
    dataset = ImageDataset(source_of(), GREY, AUGMENTATIONS[name], seed, stage)
    together = dataset.__getitems__([*keys, 5]).images
    other = ImageDataset(Read(source_of()), GREY, AUGMENTATIONS[name], seed, stage)
    for key, image in zip([*keys, 5], together, strict=True):
        assert torch.equal(other[key].images[0], image)
    assert torch.equal(together[-1], ImageDataset(source_of(), GREY)[5].images[0])
    assert together.min() >= 0
    assert together.max() <= 1 + 1e-6
    assert together.shape == (len(keys) + 1, 1, 12, 10)


@pytest.mark.parametrize("name", NAMES)
def test_augmentation_changes_with_each_part_of_the_key(name):
    def images(seed=0, stage=0, epoch=0):
        dataset = ImageDataset(source_of(), GREY, AUGMENTATIONS[name], seed, stage)
        return dataset.__getitems__([(epoch, index) for index in range(30)]).images

    variants = [images(), images(seed=1), images(stage=1), images(epoch=1)]
    assert torch.equal(images(), variants[0])
    for i, one in enumerate(variants):
        assert not any(torch.equal(one, another) for another in variants[:i])


def test_generators_of_neighbouring_keys_are_unrelated():
    dataset = ImageDataset(source_of(), GREY)
    draws = [dataset._random(epoch, index).random(4) for epoch in range(20) for index in range(20)]
    assert len({tuple(draw) for draw in draws}) == 400
    assert abs(np.corrcoef(np.array(draws)[:-1, 0], np.array(draws)[1:, 0])[0, 1]) < 0.15
    assert ImageDataset(source_of(), GREY, seed=-1)._random(0, 0).random() < 1


def test_augmentations_by_name():
    assert get_augment("none") is None
    assert "did you mean 'elastic'?" in refusal(get_augment, "elastc")
    assert "choose from none" in refusal(get_augment, "zzz")


def test_shares_of_a_loader_are_the_batches_of_one_process():
    batches = loader(ImageDataset(source_of(), GREY), 4)
    alone = [batch.indices.tolist() for batch in batches]
    shares = [[batch.indices.tolist() for batch in batches.share(rank, 3)] for rank in range(3)]
    assert [shares[number % 3][number // 3] for number in range(len(alone))] == alone


def test_the_loader_gives_every_image_once_in_order():
    batches = list(loader(ImageDataset(source_of(), GREY), 8))
    assert [len(batch.labels) for batch in batches] == [8, 8, 8, 6]
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(30))
    order = list(loader(ImageDataset(source_of(), GREY), 8, sampler=[4, 2, 9]))
    assert order[0].indices.tolist() == [4, 2, 9]


@pytest.fixture
def zipped(tmp_path):
    path = zip_of(tmp_path / "pets.zip", files_of({"train/a": 9, "train/b": 8, "test/a": 1}))
    return open_data(str(path)).train


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_the_same_batches(zipped, start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} here")
    dataset = ImageDataset(zipped, GREY, AUGMENTATIONS["flip+crop"])
    keys = [[(3, i) for i in range(k, min(k + 4, len(zipped)))] for k in range(0, len(zipped), 4)]
    expected = list(DataLoader(dataset, batch_sampler=keys, collate_fn=identity_collate))
    workers = DataLoader(
        dataset, batch_sampler=keys, collate_fn=identity_collate, num_workers=2, multiprocessing_context=start
    )
    for one, other in zip(expected, workers, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_data_sets_can_be_sent_to_workers(zipped, name):
    dataset = ImageDataset(zipped, GREY, AUGMENTATIONS[name])
    keys = [(1, 3), (1, 4)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.__getitems__(keys).images, dataset.__getitems__(keys).images)
    assert copy.source.name(3) == zipped.name(3)


def test_subsets_of_subsets():
    inner = Subset(source_of(), [5, 6, 7, 8])
    outer = Subset(inner, [3, 1])
    assert [outer.name(0), outer.name(1)] == ["image #8", "image #6"]
    np.testing.assert_array_equal(outer.array, PIXELS[[8, 6], :, :, :1])
    np.testing.assert_array_equal(np.asarray(outer.read(1)), PIXELS[6, :, :, 0])
    assert outer.labels.tolist() == [2, 0]


@pytest.mark.parametrize(("size", "augment"), [(8, None), (12, None), (8, "flip+crop")])
def test_small_files_are_kept_in_memory_without_changing_a_bit(tmp_path, monkeypatch, size, augment):
    path = str(zip_of(tmp_path / "a.zip", files_of({"a": 9, "b": 9})))
    kept = open_data(path)
    monkeypatch.setattr(file_source, "IN_MEMORY", 18 * 8 * 8 * 3 - 1)
    decoded = open_data(path)
    assert decoded.train.array is None
    assert kept.train.array.shape == (len(kept.train), 8, 8, 3)
    spec = ImageSpec(size, size, 3, (0.5,) * 3, (0.5,) * 3)
    keys = [(2, index) for index in range(len(kept.train))]
    batches = [
        ImageDataset(splits.train, spec, augment and get_augment(augment)).__getitems__(keys)
        for splits in (kept, decoded)
    ]
    assert torch.equal(batches[0].images, batches[1].images)
    assert torch.equal(batches[0].labels, batches[1].labels)
    for index in range(len(kept.train)):
        assert kept.train.read(index).tobytes() == decoded.train.read(index).tobytes()
        assert kept.train.name(index) == decoded.train.name(index)


def test_files_of_several_sizes_or_kinds_are_not_kept(tmp_path):
    for name, odd in {"size": png(0, (8, 9)), "kind": png(0, (8, 8), 1)}.items():
        path = zip_of(tmp_path / f"{name}.zip", files_of({"a": 9, "b": 9}) | {"b/odd.png": odd})
        splits = open_data(str(path))
        assert splits.train.array is None
        assert np.asarray(splits.train.read(0)).shape == (8, 8, 3)


def test_bad_files_leave_the_others_in_memory(tmp_path):
    contents = files_of({"a": 9, "b": 9}) | {"a/3.png": b"bad"}
    splits = open_data(str(zip_of(tmp_path / "a.zip", contents)), skip_bad_images=True)
    for index in range(len(splits.train)):
        pixels = np.asarray(read_image(contents[splits.train.name(index)]))
        np.testing.assert_array_equal(splits.train.array[index], pixels)
        np.testing.assert_array_equal(np.asarray(splits.train.read(index)), pixels)


def test_grey_and_rgb_are_made_of_each_other():
    colour = noise(1, (10, 12))
    assert to_pixels(colour, GREY)[:, :, 0].tobytes() == colour.convert("L").tobytes()
    rgb = ImageSpec(12, 10, 3, (0.5,) * 3, (0.5,) * 3)
    pixels = to_pixels(noise(1, (10, 12), 1), rgb)
    assert (pixels == pixels[:, :, :1]).all()


def test_resizing_averages_and_ignores_the_aspect_ratio():
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (16, 100)))
    tensor = to_tensor(stripes, ImageSpec(8, 8, 1, (0.5,), (0.5,)))
    assert tensor.shape == (1, 8, 8)
    torch.testing.assert_close(tensor, torch.full((1, 8, 8), 0.5), atol=0.02, rtol=0)


def test_callers_may_change_the_tensors():
    image = noise(0, (10, 12), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_tensor(image, GREY)
    before = tensor.clone()
    tensor.zero_()
    assert torch.equal(to_tensor(image, GREY), before)
    assert before.max() <= 1


def test_workers_read_jpeg_alike(tmp_path):
    files = {f"{name}/{i}.jpg": encoded(noise(i, (40, 30)), "JPEG") for name in "ab" for i in range(5)}
    train = open_data(str(zip_of(tmp_path / "a.zip", files))).train
    one, two = (list(loader(ImageDataset(train, GREY), 4, workers=workers)) for workers in (0, 2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(one, two, strict=True))
