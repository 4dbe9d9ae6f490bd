"""Projection, pruning, usage counts and gallery of a real ProtoPNet, as the engine runs them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.data.sources.source import ArraySource
from resemblance.methods.registry import build
from resemblance.prototypes.gallery import Gallery
from resemblance.training.ends.actions import ActionContext, run
from resemblance.training.ends.gallery import build_gallery


def make(**config):
    torch.manual_seed(0)
    spec = ModelSpec(("a", "b", "c"), ImageSpec(28, 28, 1, (0.5,), (0.25,)))
    settings = {"encoder": "small", "prototypes_per_class": 3, "prototype_depth": 16, **config}
    model = build("protopnet", settings, spec)
    pixels = np.random.default_rng(0).integers(0, 256, (23, 28, 28, 1), dtype=np.uint8)
    pixels[20] = pixels[2]  # a duplicate, of the same class
    return model, ActionContext(ArraySource(pixels, np.arange(23) % 3, ("a", "b", "c")), batch_size=8)


@pytest.mark.parametrize(
    "config", [{}, {"prototype_height": 2, "prototype_width": 3}, {"pool": "avg", "addon": "none"}]
)
def test_a_second_projection_moves_nothing(config):
    model, context = make(**config)
    run("project", model, context)
    before = copy.deepcopy(model.state_dict())
    run("project", model, context)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert any("moved by 0 on average" in note for note in context.notes)


@pytest.mark.parametrize("config", [{}, {"prototype_height": 2, "prototype_width": 3}])
def test_batch_size_changes_no_source(config):
    model, context = make(**config)
    other = copy.deepcopy(model)
    run("project", model, context)
    context.batch_size = 3
    run("project", other, context)
    assert torch.equal(model.prototypes.source_index, other.prototypes.source_index)
    assert torch.allclose(model.prototypes.vectors, other.prototypes.vectors, atol=1e-5)


def test_projected_prototypes_are_found_in_their_source_images():
    model, context = make()
    run("project", model, context)
    prototypes = model.prototypes
    pixels = context.train.array[prototypes.source_index.numpy()]
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).float() / 255
    with torch.no_grad():
        similarities = model(images).similarities.diagonal()
    assert similarities.min() > 8.5  # log(1/ε) = 9.21 but for the rounding of the distance
    owners = prototypes.owners.float().argmax(1)
    assert torch.equal(torch.from_numpy(context.train.labels)[prototypes.source_index], owners)
    x0, y0, x1, y1 = prototypes.source_box.T
    assert (x0 >= 0).all()
    assert (y0 >= 0).all()
    assert ((x1 > x0) & (x1 <= 28)).all()
    assert ((y1 > y0) & (y1 <= 28)).all()


def test_pruning_usage_and_gallery_work_together():
    model, context = make()
    run("project", model, context)
    run("prune", model, context)
    assert context.kept is not None
    assert len(model.prototypes) == len(context.kept) == model.last.in_features
    run("usage", model, context)
    assert model.prototypes.activations.sum() == 23
    assert model.prototypes.own_activations.sum() == 23
    gallery = build_gallery(model, context.train)
    assert len(gallery) == len(model.prototypes)
    prototypes = model.prototypes
    places = prototypes.source_index, prototypes.source_box, prototypes.source_region
    for item, index, box, (x0, y0, x1, y1) in zip(
        gallery, *(place.tolist() for place in places), strict=True
    ):
        expected = context.train.array[index, y0:y1, x0:x1].repeat(3, axis=2)
        assert np.array_equal(item.picture, expected)
        assert (item.box or (0, 0, 28, 28)) == tuple(box)
        assert item.name == context.train.name(index)
    assert Gallery.from_files(gallery.to_files()) == gallery
