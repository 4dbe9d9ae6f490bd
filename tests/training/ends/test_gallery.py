"""Galleries from training images and from decoded prototypes."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from looking_glass import LookingGlass
from resemblance.config.errors import UserError
from resemblance.data.sources.source import ArraySource
from resemblance.prototypes.gallery import Gallery, GalleryItem
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.gallery import build_gallery


class CountingSource(ArraySource):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.reads = []

    def read(self, index):
        self.reads.append(index)
        return super().read(index)


def make_source(count=6, size=(16, 12), channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, channels), dtype=np.uint8)
    return CountingSource(pixels, np.arange(count) % 2, ("a", "b"))


def make_model(size=(16, 12), count=4):
    model = LookingGlass(torch.rand(count, 3, 1, 1), PrototypeLayer.class_major(count // 2, 2), size)
    model.prototypes.source_index.copy_(torch.tensor([4, 1, 4, -1]))
    model.prototypes.source_box.copy_(
        torch.tensor([[2, 3, 7, 9], [0, 0, 12, 16], [0, 0, 1, 1], [0, 0, 0, 0]])
    )
    return model


def test_pictures_are_cut_from_the_sources():
    model, source = make_model(), make_source(channels=1)
    gallery = build_gallery(model, source)
    pixels = source.array.repeat(3, axis=3)
    assert np.array_equal(gallery[0].picture, pixels[4, 3:9, 2:7])
    assert np.array_equal(gallery[0].image, pixels[4])
    assert np.array_equal(gallery[1].picture, pixels[1])
    assert gallery[1].box is None
    assert gallery[3].picture is None
    assert [item.name for item in gallery] == [source.name(4), source.name(1), source.name(4), ""]
    assert sorted(source.reads) == [1, 4]
    assert Gallery.from_files(gallery.to_files()) == gallery


def test_decoded_prototypes_come_with_their_nearest_image():
    model, source = make_model(), make_source(channels=1)
    model.traits = replace(model.traits, decodes=True)
    model.decode = lambda vectors: vectors[:, :1].expand(-1, 1, 16, 12)
    gallery = build_gallery(model, source)
    grey = (model.prototypes.vectors[2, 0, 0, 0] * 255).round().item()
    assert gallery[2].kind == "decoded"
    assert np.array_equal(gallery[2].picture, np.full((16, 12, 3), grey, dtype=np.uint8))
    assert np.array_equal(gallery[2].image, source.array[4].repeat(3, axis=2))


def test_pruning_a_model_prunes_its_gallery():
    model, source = make_model(), make_source(channels=1)
    model.gallery = build_gallery(model, source)
    expected = [model.gallery[2], model.gallery[0]]
    model.keep(torch.tensor([2, 0]))
    assert list(model.gallery) == expected


def test_the_first_image_is_a_source_like_any_other():
    model, source = make_model(), make_source(channels=1)
    model.prototypes.source_index[1] = 0
    item = build_gallery(model, source)[1]
    assert (item.kind, item.name) == ("training image", source.name(0))
    assert np.array_equal(item.picture, source.array[0].repeat(3, axis=2))
    assert build_gallery(model, source)[3] == GalleryItem()


@pytest.mark.parametrize("count", [3, 4])
def test_other_images_than_the_sources_are_refused(count):
    with pytest.raises(UserError, match=f"only {count} images"):
        build_gallery(make_model(), make_source(count=count, channels=1))


def test_two_thousand_prototypes_are_quick_and_small():
    model = LookingGlass(torch.rand(2000, 3, 1, 1), PrototypeLayer.class_major(10, 200), (64, 64))
    coarse = np.random.default_rng(0).integers(0, 256, (500, 8, 8, 1), dtype=np.uint8)
    source = ArraySource(coarse.repeat(8, axis=1).repeat(8, axis=2), np.zeros(500), ("a", "b"))
    model.prototypes.source_index.copy_(torch.arange(2000) % 500)
    model.prototypes.source_box.copy_(torch.tensor([1, 2, 40, 50]).expand(2000, 4))
    started = time.monotonic()
    files = build_gallery(model, source).to_files()
    again = Gallery.from_files(files)
    assert time.monotonic() - started < 20
    assert len(files) == 501
    assert again[1999].picture.shape == (48, 39, 3)
