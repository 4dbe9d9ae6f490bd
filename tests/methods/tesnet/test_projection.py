"""Projection by length along a direction, and what it leaves."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from looking_glass import batches
from methods.tesnet.small_models import glass
from resemblance.training.ends.projection import project


def scene(seed, size=1.0, close=1.0, images=14, classes=2, per_class=3):
    """Make a model and patches around one centre; if they are close, rounding changes the order of projections."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(8, 1, 1, generator=generator)
    latents = size * (centre + close * torch.rand(images, 8, 4, 4, generator=generator))
    latents[5] = latents[3]  # a duplicate image
    labels = torch.arange(images) % classes
    vectors = torch.rand(classes * per_class, 8, generator=generator)
    return glass(F.normalize(vectors, dim=1), classes, per_class), latents, labels


def plain_push(model, latents, labels):
    """Return for each concept the first patch of its class with the longest projection, computed in float64."""
    projected = []
    for j, vector in enumerate(model.prototypes.vectors.detach().double().flatten(1)):
        unit, best = vector / vector.norm(), (-math.inf, -1, None)
        for i, label in enumerate(labels.tolist()):
            if not model.prototypes.owners[j, label]:
                continue
            for cell in range(16):
                patch = latents[i, :, cell // 4, cell % 4]
                projection = (patch.double() * unit).sum().item()
                if projection > best[0]:
                    best = (projection, i, patch)
        projected.append(best)
    return projected


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([1e-3, 1.0, 1e3]),
    close=st.sampled_from([1.0, 1e-6]),
    batch=st.integers(1, 14),
)
def test_projection_takes_the_longest_and_a_second_one_moves_nothing(seed, size, close, batch):
    model, latents, labels = scene(seed, size, close)
    expected = plain_push(model, latents, labels)
    project(model, batches(latents, labels, batch))
    for j, (_, index, patch) in enumerate(expected):
        assert model.prototypes.source_index[j] == index
        assert torch.equal(model.prototypes.vectors[j].flatten(), patch)  # raw: its length is kept
        assert model.prototypes.source_distance[j] == 0
    before = copy.deepcopy(model.state_dict())
    report = project(model, batches(latents, labels, batch))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert report.largest_moved == 0


def test_rounding_does_not_choose():
    """Use long patches orthogonal to the concepts: in float32 their projections are only rounding errors."""
    generator = torch.Generator().manual_seed(0)
    model = glass(torch.eye(2, 8))
    for _ in range(8):
        basis = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64)).Q
        long = 100 * basis[:, 2:] @ torch.randn(6, 14 * 16, generator=generator, dtype=torch.float64)
        latents = long.float().reshape(8, 14, 4, 4).transpose(0, 1).contiguous()
        labels = torch.arange(14) % 2
        with torch.no_grad():
            model.prototypes.vectors.copy_(basis[:, :2].T.reshape(2, 8, 1, 1))
        expected = plain_push(model, latents, labels)
        project(model, batches(latents, labels, 5))
        for j, (_, index, patch) in enumerate(expected):
            assert model.prototypes.source_index[j] == index
            assert torch.equal(model.prototypes.vectors[j].flatten(), patch)


def test_a_concept_that_is_a_patch_does_not_move_on_to_a_longer_one():
    """By the largest projection alone it would move; a projected concept keeps its source."""
    model = glass(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    short, long = torch.tensor([0.0, 1.0]), torch.tensor([5.0, 2.0])
    labels = torch.tensor([0])
    project(model, batches(short.reshape(1, 2, 1, 1), labels, 1))
    latents = torch.stack([short, long], dim=1).reshape(1, 2, 1, 2)
    project(model, batches(latents, labels, 1))
    assert model.prototypes.vectors[0].flatten().tolist() == [0, 1]
    fresh = glass(torch.tensor([[0.1, 1.0], [1.0, 0.0]]))
    project(fresh, batches(latents, labels, 1))
    assert fresh.prototypes.vectors[0].flatten().tolist() == [5, 2]


def test_the_report_measures_the_change_of_directions():
    model = glass(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    latents = torch.tensor([0.0, 7.0]).reshape(1, 2, 1, 1).expand(2, 2, 1, 1)
    report = project(model, batches(latents, torch.tensor([0, 1]), 2))
    assert report.moved.tolist() == [0, pytest.approx(math.sqrt(2))]


def test_the_similarity_to_the_source_of_a_projected_concept_is_its_length():
    model, latents, labels = scene(3)
    project(model, batches(latents, labels, 5))
    sources = latents[model.prototypes.source_index]
    own = model.prototypes.maps(sources)[torch.arange(6), torch.arange(6)].flatten(1)
    lengths = model.prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert ((own - lengths[:, None]).abs().amin(dim=1) < 1e-5).all()
