"""Forward pass and losses against the fact sheet's values and plain re-implementations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from methods.tesnet.small_models import glass, make
from resemblance.core.output import Output
from resemblance.methods.tesnet.model import subspace_distances, subspace_separation
from resemblance.methods.tesnet.prototypes import Concepts
from resemblance.methods.weighted_parts.bases import class_bases, inner_products, orthogonality
from resemblance.prototypes import similarity


def test_projection_and_cosine_have_the_fact_sheets_values():
    model = glass(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    output = model.head(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1))
    assert output.similarities.tolist() == [[3, 4]]
    assert output.extras["cosines"].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]


def test_orthonormality_has_the_fact_sheets_values():
    products = inner_products(torch.tensor([[[1.0, 0.0], [0.6, 0.8]]]))
    present = torch.ones(1, 2, dtype=torch.bool)
    assert orthogonality(products, present, 1.0).item() == pytest.approx(0.72)
    assert orthogonality(products, present, 1.0, entrywise=True).item() == pytest.approx(1.2)


def test_subspaces_have_the_fact_sheets_value():
    owners = torch.eye(2, dtype=torch.bool)
    distances = subspace_distances(torch.eye(2)[:, None])
    assert subspace_separation(distances, owners).item() == pytest.approx(1.0)


# plain re-implementations


def plain_orthonormality(vectors, owners, entrywise):
    total = 0.0
    for c in range(owners.shape[1]):
        basis = vectors[owners[:, c]].flatten(1)
        deviation = basis @ basis.T - torch.eye(len(basis))
        total = total + (deviation.abs().sum() if entrywise else deviation.square().sum())
    return total


def plain_separation(vectors, owners):
    """Sum over all ordered pairs of classes, with projection operators of D × D numbers."""
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
        model.prototypes.vectors.mul_(3)  # as after a projection, of any length
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    output = model(images)
    longest, cosines, scores = plain_forward(model, images)
    assert torch.allclose(output.similarities, longest, rtol=1e-5)
    assert torch.allclose(output.extras["cosines"], cosines, rtol=1e-5)
    assert torch.allclose(output.scores, scores, rtol=1e-4, atol=1e-4)
    owners = model.prototypes.owners
    own = torch.stack([owners[:, label] for label in labels.tolist()])
    cluster = sum(-cosines[b][own[b]].max().item() for b in range(4)) / 4
    other = sum(-cosines[b][~own[b]].max().item() for b in range(4)) / 4
    vectors = model.prototypes.vectors.detach()
    if variant == "paper":
        vectors = F.normalize(vectors, dim=1)
    terms = {name: term.item() for name, term in model.loss(output, labels).items()}
    assert terms["cross_entropy"] == pytest.approx(F.cross_entropy(scores, labels).item(), rel=1e-4)
    assert terms["cluster"] == pytest.approx(0.8 * cluster, rel=1e-5)
    assert terms["separation"] == pytest.approx(-0.08 * other, rel=1e-5)
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
    bases, present = class_bases(cheap[:, None], owners)
    loss = orthogonality(inner_products(bases), present, 1.0, entrywise=entrywise)
    loss = loss + subspace_separation(subspace_distances(bases), owners)
    expected = plain_orthonormality(plain, owners, entrywise) + plain_separation(plain, owners)
    assert torch.allclose(loss, torch.as_tensor(expected, dtype=loss.dtype), atol=1e-6)
    loss.backward()
    expected.backward()
    # The sum of absolute values has a corner at the unit diagonal, where rounding decides: compare directions.
    tangent = [x.grad - (x.grad * vectors).sum(1, keepdim=True) * vectors for x in (cheap, plain)]
    assert torch.allclose(*tangent, atol=1e-6)


def test_equal_subspaces_have_finite_gradients():
    """The distance of two classes with the same concepts is 0, where the root has no derivative."""
    vectors = torch.eye(3)[:2].repeat(2, 1).requires_grad_()
    owners = torch.eye(2, dtype=torch.bool).repeat_interleave(2, dim=0)
    distances = subspace_distances(class_bases(vectors[:, None], owners)[0])
    assert distances[0, 1] < 1e-5
    subspace_separation(distances, owners).backward()
    assert vectors.grad.isfinite().all()


def test_neither_all_pairs_of_concepts_nor_of_subspaces_are_built():
    """With 300 classes of 10 concepts of depth 64, they would be 9 and 369 million numbers."""
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
    assert max(sizes) <= 300 * 64 * 64


def test_an_image_of_a_class_without_concepts_leaves_the_losses_finite():
    model = make(classes=2, prototypes_per_class=1)
    model.keep(torch.tensor([0]))
    terms = model.loss(model(torch.rand(4, 1, 28, 28)), torch.tensor([1, 1, 1, 1]))
    sum(terms.values()).backward()
    assert sum(terms.values()).isfinite()
    assert terms["cluster"].item() == 0
    assert terms["subspaces"].item() == 0


def test_latents_of_zero_give_finite_gradients():
    model = glass(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    latents = torch.zeros(1, 2, 2, 2, requires_grad=True)
    output = model.head(latents)
    sum(model.loss(output, torch.tensor([0])).values()).backward()
    assert output.extras["cosines"].tolist() == [[0, 0]]
    assert latents.grad.isfinite().all()


def test_projections_of_some_concepts_at_a_time_have_the_gradients_of_all_at_once(monkeypatch):
    monkeypatch.setattr(similarity, "FEWEST", 4)
    monkeypatch.setattr(similarity, "_prototypes_at_once", lambda numbers, device: 1)
    generator = torch.Generator().manual_seed(0)
    concepts = Concepts(torch.rand(6, 3, 1, 1, generator=generator), torch.eye(6, dtype=torch.bool)).double()
    latents = torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    comparison = concepts(latents)
    rows = latents.flatten(2)
    projections = F.normalize(concepts.vectors.flatten(1), dim=1) @ rows
    expected = projections.amax(2), (projections / rows.norm(dim=1)[:, None]).amax(2)
    shares = torch.rand(2, 2, 6, generator=generator, dtype=torch.float64)
    gradients = []
    for pair in ((comparison.similarities, comparison.extras["cosines"]), expected):
        total = (shares[0] * pair[0] + shares[1] * pair[1]).sum()
        gradients.append(torch.autograd.grad(total, (latents, concepts.vectors)))
    for one, other in zip(gradients[0], gradients[1], strict=True):
        assert torch.allclose(one, other)
