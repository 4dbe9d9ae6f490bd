"""Projection against a simple re-implementation, and its guarantees."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looking_glass import LookingGlass, Whole, batches
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build
from resemblance.prototypes import vectors as vectors_module
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.prototypes.maps import percentile_box, upsample
from resemblance.prototypes.similarity import squared_distances
from resemblance.training.ends.projection import project


def scene(seed, images=17, classes=3, per_class=2, depth=4, side=5, shape=(1, 1), levels=None):
    """Return a model, latents and labels; with few levels there are many ties."""
    generator = torch.Generator().manual_seed(seed)
    latents = torch.rand(images, depth, side, side, generator=generator)
    vectors = torch.rand(classes * per_class, depth, *shape, generator=generator)
    if levels is not None:
        latents, vectors = (latents * levels).floor(), (vectors * levels).floor()
    labels = torch.randint(classes, (images,), generator=generator)
    model = LookingGlass(vectors, PrototypeLayer.class_major(per_class, classes), (20, 20))
    return model, latents, labels


def plain_projection(model, latents, labels):
    """For each prototype, go over all images and all windows, and keep the first that is strictly nearer."""
    vectors, owners = model.prototypes.vectors.detach().double(), model.prototypes.owners
    height, width = vectors.shape[2:]
    nearest = []
    for j, vector in enumerate(vectors):
        best = (float("inf"), -1, None, None)
        for i, label in enumerate(labels.tolist()):
            if not owners[j, label]:
                continue
            for y in range(latents.shape[2] - height + 1):
                for x in range(latents.shape[3] - width + 1):
                    patch = latents[i, :, y : y + height, x : x + width]
                    distance = (patch.double() - vector).square().sum().item()
                    if distance < best[0]:
                        best = (distance, i, (y, x), patch)
        nearest.append(best)
    return nearest


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    levels=st.sampled_from([None, 2, 3]),
    shape=st.sampled_from([(1, 1), (2, 3)]),
    size=st.integers(1, 20),
    data=st.data(),
)
def test_projection_is_exact_whatever_the_batches(seed, levels, shape, size, data):
    model, latents, labels = scene(seed, shape=shape, levels=levels)
    order = data.draw(st.permutations(range(len(latents))))
    expected = plain_projection(model, latents, labels)
    report = project(model, batches(latents, labels, size, order))
    prototypes = model.prototypes
    for j, (_, index, _, patch) in enumerate(expected):
        assert prototypes.source_index[j] == index
        if index >= 0:
            assert torch.equal(prototypes.vectors[j], patch)
            assert prototypes.source_distance[j] == 0
        else:
            assert j in report.unplaced
            assert prototypes.source_distance[j].isnan()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    close=st.sampled_from([1e-3, 1e-5, 1e-7]),
    shape=st.sampled_from([(1, 1), (2, 2)]),
)
def test_a_second_projection_moves_nothing_even_among_patches_that_rounding_confuses(seed, close, shape):
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(1, 64, 1, 1, generator=generator) * 3
    latents = centre + close * torch.rand(12, 64, 4, 4, generator=generator)
    latents[7] = latents[3]  # a duplicate image
    labels = torch.arange(12) % 2
    vectors = centre.expand(6, -1, *shape) + 0.1 * torch.rand(6, 64, *shape, generator=generator)
    model = LookingGlass(vectors, PrototypeLayer.class_major(3, 2), (16, 16))
    loader = batches(latents, labels, 5)
    expected = plain_projection(model, latents, labels)
    project(model, loader)
    assert model.prototypes.source_index.tolist() == [index for _, index, _, _ in expected]
    before = copy.deepcopy(model.state_dict())
    report = project(model, loader)
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert report.largest_moved == 0


def test_the_global_minimum_is_not_forgotten_between_batches():
    latents = torch.tensor([0.1, 5.0, 7.0]).reshape(3, 1, 1, 1)
    model = LookingGlass(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, dtype=torch.bool), (4, 4))
    project(model, batches(latents, torch.zeros(3, dtype=torch.int64), 1))
    assert model.prototypes.vectors.item() == pytest.approx(0.1)


def test_ties_go_to_the_lowest_image():
    latents = torch.ones(6, 2, 3, 3)
    for order in ([5, 4, 3, 2, 1, 0], [2, 0, 1, 5, 3, 4]):
        model = LookingGlass(torch.zeros(1, 2, 1, 1), torch.ones(1, 1, dtype=torch.bool), (6, 6))
        project(model, batches(latents, torch.zeros(6, dtype=torch.int64), 2, order))
        assert model.prototypes.source_index.item() == 0


def test_shared_prototypes_look_at_the_images_of_all_their_owners():
    owners = torch.tensor([[True, False, True], [False, True, False]])
    latents = torch.tensor([3.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    model = LookingGlass(torch.zeros(2, 1, 1, 1), owners, (4, 4))
    project(model, batches(latents, torch.tensor([0, 1, 2]), 2))
    assert model.prototypes.source_index.tolist() == [2, 1]


def test_a_class_without_images_keeps_its_prototypes_and_is_named():
    model, latents, labels = scene(1)
    labels = torch.where(labels == 1, 0, labels)
    before = model.prototypes.vectors[2:4].clone()
    model.prototypes.source_index.fill_(5)
    report = project(model, batches(latents, labels, 4))
    assert torch.equal(model.prototypes.vectors[2:4], before)
    assert report.unplaced == (2, 3)
    assert report.unplaced_classes == ("class 1",)
    assert "class 1" in " ".join(report.lines())
    assert model.prototypes.source_index[2:4].tolist() == [-1, -1]


def test_collapsed_prototypes_are_counted():
    latents = torch.tensor([0.0, 9.0]).reshape(2, 1, 1, 1)
    owners = PrototypeLayer.class_major(3, 1)
    model = LookingGlass(torch.tensor([1.0, 2.0, 8.0]).reshape(3, 1, 1, 1), owners, (4, 4))
    report = project(model, batches(latents, torch.zeros(2, dtype=torch.int64), 2))
    assert report.collapsed == {"class 0": 1}
    assert report.moved.tolist() == [1, 2, 1]
    assert report.largest_moved == 2
    assert report.to_dict()["mean_moved"] == pytest.approx(4 / 3)
    assert any("repeat" in line for line in report.lines())


def test_only_projected_prototypes_count_in_what_moved_and_what_repeats():
    latents = torch.tensor([0.0, 9.0]).reshape(2, 1, 1, 1)
    vectors = torch.tensor([1.0, 3.0, 5.0, 7.0]).reshape(4, 1, 1, 1)
    owners = torch.tensor(
        [[True, False, False], [True, False, False], [False, True, False], [False, False, True]]
    )
    report = project(LookingGlass(vectors, owners, (4, 4)), batches(latents, torch.tensor([0, 1]), 2))
    assert report.collapsed == {"class 0": 1}  # the one prototype of class 1 repeats nothing
    assert report.unplaced == (3,)
    assert report.moved.tolist() == [1, 3, 4, 0]
    assert report.mean_moved == pytest.approx(8 / 3)
    assert report.images == 2


@pytest.mark.parametrize("shape", [(1, 1), (2, 2)])
def test_the_box_is_the_papers_on_the_source_image(shape):
    model, latents, labels = scene(3, shape=shape, side=7)
    project(model, batches(latents, labels, 4))
    for j, index in enumerate(model.prototypes.source_index.tolist()):
        exact = (latents[index : index + 1] - 0).double()
        distances = squared_distances(exact, model.prototypes.vectors[j : j + 1].double())[0, 0]
        heat = upsample(model.prototypes.activation(distances), (20, 20))
        assert tuple(model.prototypes.source_box[j].tolist()) == percentile_box(heat)


def test_with_boxes_before_the_push_the_map_is_that_of_the_prototype_as_it_was():
    model, latents, labels = scene(3, side=7)
    model.traits = replace(model.traits, boxes_before_push=True)
    before = model.prototypes.vectors.detach().clone()
    project(model, batches(latents, labels, 4))
    expected = []
    for j, index in enumerate(model.prototypes.source_index.tolist()):
        distances = squared_distances(latents[index : index + 1].double(), before[j : j + 1].double())[0, 0]
        expected.append(percentile_box(upsample(model.prototypes.activation(distances), (20, 20))))
    assert [tuple(box) for box in model.prototypes.source_box.tolist()] == expected
    after, *_ = scene(3, side=7)
    project(after, batches(latents, labels, 4))
    assert not torch.equal(model.prototypes.source_box, after.prototypes.source_box)


@pytest.mark.parametrize("method", ["protopnet", "tesnet", "protopshare", "deformable", "protopool"])
def test_the_released_variants_cut_boxes_before_the_push(method):
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    for variant in ("paper", "released"):
        model = build(method, {"encoder": "small", "variant": variant}, spec)
        assert model.traits.boxes_before_push == (variant == "released")


def test_whole_images_have_the_whole_image_as_box():
    latents = torch.rand(5, 3, 2, 2)
    model = Whole(torch.rand(2, 12), PrototypeLayer.class_major(1, 2), (20, 30))
    model.traits = replace(model.traits, projects=True)
    labels = torch.tensor([0, 1, 0, 1, 0])
    squared = (latents.flatten(1)[:, None] - model.prototypes.vectors.detach()).square().sum(2)
    expected = [squared[labels == j, j].min().item() for j in range(2)]
    report = project(model, batches(latents, labels, 2))
    assert report.moved.square().tolist() == pytest.approx(expected, rel=1e-4)
    assert model.prototypes.source_box.tolist() == [[0, 0, 30, 20]] * 2


def test_modes_gradients_and_the_parameter_itself_survive():
    model, latents, labels = scene(4)
    model.train()
    model.normalize.eval()
    parameter = model.prototypes.vectors
    project(model, batches(latents, labels, 4))
    assert model.prototypes.vectors is parameter
    assert parameter.requires_grad
    assert model.training
    assert not model.normalize.training


def test_small_chunks_change_nothing(monkeypatch):
    model, latents, labels = scene(5, levels=2)
    other = copy.deepcopy(model)
    project(model, batches(latents, labels, 6))
    monkeypatch.setattr(vectors_module, "CHUNK", 1)
    project(other, batches(latents, labels, 6))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_what_cannot_be_projected_is_refused():
    model, latents, labels = scene(6)
    with pytest.raises(UserError, match="no training images"):
        project(model, [])
    with pytest.raises(UserError, match="diverged"):
        project(model, batches(latents * torch.nan, labels, 4))
    model.traits = replace(model.traits, projects=False)
    with pytest.raises(UserError, match="does not project"):
        project(model, batches(latents, labels, 4))
