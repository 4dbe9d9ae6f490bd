"""Galleries from training images and from decoded prototypes."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from looking_glass import LookingGlass, batches
from resemblance.config.errors import UserError
from resemblance.data.sources.source import ArraySource
from resemblance.prototypes.gallery import INDEX, Gallery, GalleryItem
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import peak_boxes, upsample
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.projection import project


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
    model.traits = replace(model.traits, projects=False)
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


def test_pictures_mark_the_region_around_the_maximum_and_provenance_keeps_the_papers_box():
    generator = torch.Generator().manual_seed(0)
    latents, labels = torch.rand(14, 3, 6, 6, generator=generator), torch.arange(14) % 3
    vectors = torch.rand(8, 3, 1, 1, generator=generator)
    model = LookingGlass(vectors, PrototypeLayer.class_major(2, 4), (24, 24))
    project(model, batches(latents, labels, 5))
    prototypes = model.prototypes
    pixels = np.random.default_rng(0).integers(0, 256, (14, 24, 24, 1), dtype=np.uint8)
    source = ArraySource(pixels, labels.numpy(), model.spec.classes)
    gallery = build_gallery(model, source)
    maps = prototypes.source_maps(
        latents, prototypes.source_index.clamp_min(0), torch.arange(len(prototypes)), prototypes.vectors
    )
    regions = peak_boxes(upsample(maps, (24, 24))).tolist()
    whole = (0, 0, 24, 24)
    assert any(item.region != item.box for item in gallery)
    for j, item in enumerate(gallery):
        if prototypes.source_index[j] < 0:
            assert item.region is None
            continue
        assert (item.box or whole) == tuple(prototypes.source_box[j].tolist())
        assert (item.region or whole) == tuple(regions[j])
    assert Gallery.from_files(gallery.to_files()) == gallery


@pytest.mark.parametrize("at_a_time", [1, 3, 64])
def test_regions_of_a_loaded_model_are_computed_again(at_a_time, monkeypatch):
    monkeypatch.setattr("resemblance.training.ends.gallery.BATCH", at_a_time)
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (14,), generator=generator)
    vectors = torch.randint(4, (8, 3, 1, 1), generator=generator).float()
    model = LookingGlass(vectors, PrototypeLayer.class_major(2, 4), (12, 12))
    source = ArraySource(
        np.random.default_rng(0).integers(0, 256, (14, 12, 12, 1), dtype=np.uint8),
        labels.numpy(),
        model.spec.classes,
    )
    model.prototypes.vectors.data = torch.rand(8, 1, 1, 1)
    images = torch.from_numpy(source.array).permute(0, 3, 1, 2) / 255
    project(model, batches(images, labels, 5))
    before = build_gallery(model, source)
    state = model.state_dict()
    assert "prototypes.source_region" not in state
    model.prototypes.source_region.zero_()
    model.load_state_dict(state, strict=True)
    assert build_gallery(model, source) == before


def test_folders_of_earlier_versions_show_the_papers_box():
    files = build_gallery(make_model(), make_source(channels=1)).to_files()
    index = json.loads(files[INDEX])
    for entry in index["prototypes"]:
        del entry["region"]
    item = Gallery.from_files(files | {INDEX: json.dumps(index).encode()})[0]
    assert item.region is None
    assert item.place == item.box == (2, 3, 7, 9)


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
    model.traits = replace(model.traits, projects=False)
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
