"""TesNet against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

import models
from looking_glass import batches
from resemblance.config.errors import UserError
from resemblance.core.output import Output
from resemblance.methods.registry import build
from resemblance.methods.tesnet.model import orthonormality, subspace_distances, subspace_separation
from resemblance.training.ends.projection import project

make = partial(models.make, "tesnet", encoder="small", prototypes_per_class=2, prototype_depth=8)


def glass(vectors, classes=2, per_class=1, **config):
    """A model whose latent map is the image."""
    model = make(classes, prototypes_per_class=per_class, prototype_depth=vectors.shape[1], **config)
    model.latents = lambda images: images
    with torch.no_grad():
        model.prototypes.vectors.copy_(vectors.reshape(model.prototypes.vectors.shape))
    return model.eval()


# the fact sheet's values


def test_projection_and_cosine_have_the_fact_sheets_values():
    model = glass(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    output = model.head(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1))
    assert output.similarities.tolist() == [[3, 4]]
    assert output.extras["cosines"].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_orthonormality_has_the_fact_sheets_values():
    basis = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    classes = torch.tensor([0, 0])
    assert orthonormality(basis @ basis.T, classes).item() == pytest.approx(0.72)
    assert orthonormality(basis @ basis.T, classes, entrywise=True).item() == pytest.approx(1.2)


def test_subspaces_have_the_fact_sheets_value():
    basis, owners = torch.eye(2), torch.eye(2, dtype=torch.bool)
    distances = subspace_distances(basis @ basis.T, owners)
    assert subspace_separation(distances, owners).item() == pytest.approx(1.0)


# plain re-implementations


def plain_orthonormality(vectors, owners, entrywise):
    total = 0.0
    for c in range(owners.shape[1]):
        basis = vectors[owners[:, c]].flatten(1)
        departure = basis @ basis.T - torch.eye(len(basis))
        total = total + (departure.abs().sum() if entrywise else departure.square().sum())
    return total


def plain_separation(vectors, owners):
    """Over all ordered pairs of classes, with the projection operators of D × D numbers."""
    operators = []
    for c in range(owners.shape[1]):
        basis = vectors[owners[:, c]].flatten(1)
        if len(basis):
            operators.append(basis.T @ basis)
    total = 0.0
    for a, first in enumerate(operators):
        for b, second in enumerate(operators):
            if a != b:
                total = total + (first - second).square().sum().sqrt()
    return 0.5 / math.sqrt(2) * total


def plain_forward(model, images):
    latents = model.latents(images).detach()
    vectors = model.prototypes.vectors.detach().flatten(1)
    longest = torch.full((len(images), len(vectors)), -math.inf)
    cosines = longest.clone()
    for b in range(len(images)):
        for j, vector in enumerate(vectors):
            unit = vector / vector.square().sum().sqrt()
            for y in range(latents.shape[2]):
                for x in range(latents.shape[3]):
                    patch = latents[b, :, y, x]
                    projection = (patch * unit).sum().item()
                    longest[b, j] = max(longest[b, j].item(), projection)
                    cosine = projection / patch.square().sum().sqrt().item()
                    cosines[b, j] = max(cosines[b, j].item(), cosine)
    return longest, cosines, longest @ model.last.weight.detach().T


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("kept", [None, (0, 2, 3, 4)])
def test_forward_and_losses_agree_with_a_plain_re_implementation(variant, kept):
    model = make(variant=variant, orthonormality=1.0, subspaces=1.0).eval()
    if kept is not None:
        model.keep(torch.tensor(kept))
    with torch.no_grad():
        model.prototypes.vectors.mul_(3)  # as after a projection: of no particular length
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    output = model(images)
    longest, cosines, scores = plain_forward(model, images)
    assert torch.allclose(output.similarities, longest, rtol=1e-5)
    assert torch.allclose(output.extras["cosines"], cosines, rtol=1e-5)
    assert torch.allclose(output.scores, scores, rtol=1e-4, atol=1e-4)
    owners = model.prototypes.owners
    own = torch.stack([owners[:, label] for label in labels.tolist()])
    cluster = sum(-cosines[b][own[b]].max().item() for b in range(4)) / 4
    foreign = sum(-cosines[b][~own[b]].max().item() for b in range(4)) / 4
    vectors = model.prototypes.vectors.detach()
    if variant == "paper":
        vectors = F.normalize(vectors, dim=1)
    terms = {name: term.item() for name, term in model.loss(output, labels).items()}
    assert terms["cross_entropy"] == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-4)
    assert terms["cluster"] == pytest.approx(0.8 * cluster, rel=1e-5)
    assert terms["separation"] == pytest.approx(-0.08 * foreign, rel=1e-5)
    expected = plain_orthonormality(vectors, owners, variant == "released").item()
    assert terms["orthonormality"] == pytest.approx(expected, rel=1e-5)
    assert terms["subspaces"] == pytest.approx(-plain_separation(vectors, owners).item(), rel=1e-5)
    assert terms["l1"] == pytest.approx(1e-4 * 0.5 * 2 * len(owners), rel=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    counts=st.lists(st.integers(0, 4), min_size=2, max_size=6),
    entrywise=st.booleans(),
)
def test_the_cheap_forms_have_the_values_and_gradients_of_the_plain_ones(seed, counts, entrywise):
    owners = torch.eye(len(counts), dtype=torch.bool).repeat_interleave(torch.tensor(counts), dim=0)
    if len(owners) == 0:
        return
    generator = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(len(owners), 5, generator=generator, dtype=torch.float64), dim=1)
    cheap, plain = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    products = cheap @ cheap.T
    found = orthonormality(products, owners.int().argmax(1), entrywise=entrywise)
    found = found + subspace_separation(subspace_distances(products, owners), owners)
    expected = plain_orthonormality(plain, owners, entrywise) + plain_separation(plain, owners)
    assert torch.allclose(found, torch.as_tensor(expected, dtype=found.dtype), atol=1e-6)
    found.backward()
    expected.backward()
    # The sum of absolute values has a corner at the unit diagonal, where rounding decides: compare directions.
    tangent = [x.grad - (x.grad * vectors).sum(1, keepdim=True) * vectors for x in (cheap, plain)]
    assert torch.allclose(*tangent, atol=1e-6)


def test_equal_subspaces_have_finite_gradients():
    """Of two classes with the same concepts, the distance is 0, where the root has no slope."""
    vectors = torch.eye(3)[:2].repeat(2, 1).requires_grad_()
    owners = torch.eye(2, dtype=torch.bool).repeat_interleave(2, dim=0)
    distances = subspace_distances(vectors @ vectors.T, owners)
    assert distances[0, 1] < 1e-5
    subspace_separation(distances, owners).backward()
    assert vectors.grad.isfinite().all()


def test_no_tensor_of_classes_by_classes_by_depth_by_depth_is_built():
    """300 classes of 10 concepts at depth 64 in the plain form: 1.4 GiB."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                sizes.append(result.numel())
            return result

    model = make(classes=300, prototypes_per_class=10, prototype_depth=64)
    output = Output(
        torch.zeros(2, 300), torch.zeros(2, 3000), torch.zeros(2), {"cosines": torch.zeros(2, 3000)}
    )
    with Watch():
        sum(model.loss(output, torch.tensor([0, 1])).values()).backward()
    assert max(sizes) <= 3000 * 3000


# what surrounds them


def test_an_image_of_a_class_without_concepts_leaves_the_losses_finite():
    model = make(classes=2, prototypes_per_class=1)
    model.keep(torch.tensor([0]))
    terms = model.loss(model(torch.rand(4, 1, 28, 28)), torch.tensor([1, 1, 1, 1]))
    sum(terms.values()).backward()
    assert sum(terms.values()).isfinite()
    assert terms["cluster"].item() == 0
    assert terms["subspaces"].item() == 0


def test_black_latents_are_no_trouble():
    model = glass(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    latents = torch.zeros(1, 2, 2, 2, requires_grad=True)
    output = model.head(latents)
    sum(model.loss(output, torch.tensor([0])).values()).backward()
    assert output.extras["cosines"].tolist() == [[0, 0]]
    assert latents.grad.isfinite().all()


def test_concepts_keep_unit_length_while_they_train():
    model, released = make(), make(variant="released")
    lengths = model.prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert torch.allclose(lengths, torch.ones(6))
    assert not torch.allclose(released.prototypes.vectors.detach().flatten(1).norm(dim=1), torch.ones(6))
    for changed in (model, released):
        changed.prototypes.vectors.data.mul_(3)
        changed.after_step()
        assert torch.allclose(changed.prototypes.vectors.detach().flatten(1).norm(dim=1), torch.ones(6))


def test_raw_patches_stay_raw_while_only_the_last_layer_trains():
    """Except in the authors' code, where it makes no difference to an answer."""
    for variant, kept in (("paper", True), ("released", False)):
        model = make(variant=variant)
        model.prototypes.vectors.requires_grad_(False).mul_(3)
        before = model.prototypes.vectors.clone()
        images = torch.rand(2, 1, 28, 28)
        scores = model.eval()(images).scores
        model.after_step()
        assert torch.equal(before, model.prototypes.vectors) == kept
        assert torch.allclose(scores, model(images).scores, rtol=1e-4, atol=1e-4)


def test_maps_peak_at_the_pooled_projection():
    model = make().eval()
    output = model(torch.rand(2, 1, 28, 28))
    maps = model.prototypes.maps(output.latents)
    assert torch.allclose(maps.flatten(2).amax(2), output.similarities, atol=1e-6)
    match = model.prototypes.match(output.latents)
    assert torch.equal(maps.flatten(2).argmax(2), match.cells)
    assert torch.allclose(-match.values, output.similarities)


# projection


def scene(seed, size=1.0, close=1.0, images=14, classes=2, per_class=3):
    """Patches around one centre; where they are close, rounding confuses their projections."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(8, 1, 1, generator=generator)
    latents = size * (centre + close * torch.rand(images, 8, 4, 4, generator=generator))
    latents[5] = latents[3]  # a duplicate image
    labels = torch.arange(images) % classes
    vectors = torch.rand(classes * per_class, 8, generator=generator)
    return glass(F.normalize(vectors, dim=1), classes, per_class), latents, labels


def plain_push(model, latents, labels):
    """For each concept the first patch of its class onto which none projects longer; in float64."""
    found = []
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
        found.append(best)
    return found


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
    """Long patches at right angles to the concepts: in float32 their projections are all rounding error."""
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
    """Not the largest projection but the largest cosine would stay by itself."""
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


def test_the_report_speaks_of_directions():
    model = glass(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    latents = torch.tensor([0.0, 7.0]).reshape(1, 2, 1, 1).expand(2, 2, 1, 1)
    report = project(model, batches(latents, torch.tensor([0, 1]), 2))
    assert report.moved.tolist() == [0, pytest.approx(math.sqrt(2))]


def test_a_projected_concept_is_as_long_as_its_patch_on_its_source():
    model, latents, labels = scene(3)
    project(model, batches(latents, labels, 5))
    sources = latents[model.prototypes.source_index]
    own = model.prototypes.maps(sources)[torch.arange(6), torch.arange(6)].flatten(1)
    lengths = model.prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert ((own - lengths[:, None]).abs().amin(dim=1) < 1e-5).all()


# recipe, training, configuration


def test_the_schedule_is_protopnets_and_ends_projected():
    for variant in ("paper", "released"):
        recipe = make(variant=variant).recipe()
        assert [stage.epochs for stage in recipe.stages] == [5, 5, 20, 10, 20]
        assert [stage.end for stage in recipe.stages] == [(), ("project",), (), ("project",), ()]
        assert recipe.epochs == 20
        assert recipe.batch_size == 80
        assert recipe.stages[-1].candidate
        assert recipe.stages[-1].groups.keys() == {"last"}


def test_the_settings_of_the_paper():
    config = make(prototype_depth=64, prototypes_per_class=10).config
    assert (config.cluster, config.separation, config.l1) == (0.8, 0.08, 1e-4)
    assert (config.orthonormality, config.subspaces) == (1e-4, 1e-7)
    torch.manual_seed(0)
    spec = make().spec
    assert build("tesnet", {"encoder": "small"}, spec).prototypes.vectors.shape == (30, 64, 1, 1)


def test_impossible_settings_are_refused():
    with pytest.raises(UserError, match="at least 1"):
        make(prototypes_per_class=0)
    with pytest.raises(UserError, match="has no setting"):
        make(similarity="log")


def test_training_ends_with_raw_training_patches(trained):
    prototypes = trained("tesnet").model.prototypes
    lengths = prototypes.vectors.detach().flatten(1).norm(dim=1)
    assert (prototypes.source_index >= 0).all()
    assert not torch.allclose(lengths, torch.ones(len(lengths)), atol=1e-3)
