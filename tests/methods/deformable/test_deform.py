"""What moved parts read from a map, and the windows that are gathered for them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from methods.deformable.small_models import VARIANTS, glass, make, see
from resemblance.methods.deformable.deform import corners, largest_products, sample


def test_the_midpoint_has_the_fact_sheets_value_and_length():
    features = torch.eye(2).reshape(1, 2, 1, 2)
    half = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]])
    read = sample(features, torch.tensor([0]), torch.tensor([[[0, 1, 0, 0]]]), half)
    assert read.flatten().tolist() == [pytest.approx(0.7071, abs=1e-4)] * 2
    assert read.norm().item() == pytest.approx(1.0)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), parts=st.sampled_from([2, 3]), far=st.sampled_from([0.4, 3.0]))
def test_lengths_are_preserved_inside_the_map_and_lost_outside_it(seed, parts, far):
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.rand(1, 5, 9, 9, generator=generator), dim=1)
    side = 9 + 4 - 2 * parts
    offsets = far * torch.randn(1, 2 * parts**2, side, side, generator=generator)
    cells, weights = corners(offsets, (9, 9), parts)
    count = cells.shape[1]
    images = torch.zeros(count, dtype=torch.int64)
    lengths = sample(features, images, cells[0], weights[0]).norm(dim=2)  # (h·w, ρ)
    inside = weights[0].sum(dim=2)
    assert torch.allclose(lengths, inside.sqrt(), atol=1e-5)
    assert (inside < 1.0001).all()


@VARIANTS
def test_gradients_are_those_of_the_plain_formula(variant):
    """Compare gradients of features, offsets and prototypes with finite differences."""
    model = make(2, variant=variant, parts=2, addon="regular", prototype_depth=3).double()
    generator = torch.Generator().manual_seed(3)
    z = torch.rand(2, 3, 4, 4, generator=generator, dtype=torch.float64) + 0.1
    offsets = 0.3 * torch.randn(2, 8, 4, 4, generator=generator, dtype=torch.float64)
    vectors = model.prototypes.vectors.detach().clone()

    def pooled(z, offsets, vectors):
        latents = see(model, z, offsets)
        rows = model.prototypes.unit_parts(vectors).flatten(1)
        return largest_products(model.prototypes._windows(latents), rows)[0]

    inputs = [tensor.requires_grad_() for tensor in (z, offsets, vectors)]
    assert torch.autograd.gradcheck(pooled, inputs, atol=1e-6)


def test_the_cheap_gradient_is_the_dense_one():
    generator = torch.Generator().manual_seed(0)
    windows = torch.rand(3, 7, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    vectors = torch.rand(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    grad = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    values, places = largest_products(windows, vectors)
    dense = windows @ vectors.T
    assert torch.equal(places, dense.argmax(dim=1))
    gradients = torch.autograd.grad(values, (windows, vectors), grad)
    expected = torch.autograd.grad(dense.amax(dim=1), (windows, vectors), grad)
    assert all(torch.allclose(a, b) for a, b in zip(gradients, expected, strict=True))
    only = largest_products(windows.detach(), vectors)[0]
    assert torch.allclose(torch.autograd.grad(only, vectors, grad)[0], expected[1])


def test_zero_maps_and_huge_offsets_give_finite_gradients():
    model = glass(torch.eye(2), parts=3)
    z = torch.zeros(2, 2, 6, 6, requires_grad=True)
    offsets = torch.zeros(2, 18, 4, 4)
    offsets[1] = 1e9
    offsets[1, 0] = -torch.inf
    offsets.requires_grad_()
    output = model.head(see(model, z, offsets))
    assert output.similarities[1].tolist() == [0, 0]  # outside the map everything is 0
    sum(model.loss(output, torch.tensor([0, 1]))[name] for name in ("cross_entropy", "cluster")).backward()
    assert z.grad.isfinite().all()
    assert offsets.grad[0].isfinite().all()


def test_no_tensor_of_images_by_prototypes_by_channels_is_built():
    """With 2000 prototypes of nine parts of 512 channels, it would take 550 MiB for 16 images."""
    sizes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            sizes.extend(part.numel() for part in [result] if isinstance(part, torch.Tensor))
            return result

    batch, count, length, prototypes = 2, 25, 64, 4000
    windows = torch.rand(batch, count, length, requires_grad=True)
    vectors = torch.rand(prototypes, length, requires_grad=True)
    with Watch():
        largest_products(windows, vectors)[0].sum().backward()
    assert max(sizes) <= max(batch * count * prototypes, prototypes * length)


def test_offsets_are_trained_and_start_near_zero():
    model = make()
    output = model(torch.rand(2, 1, 28, 28))
    assert 0 < model.prototypes._split(output.latents)[1].abs().max() < 1e-3
    sum(model.loss(output, torch.tensor([0, 1])).values()).backward()
    assert model.offsets[0].weight.grad.abs().sum() > 0
    assert model.embed(output.latents).shape == (2, model.prototypes.channels)


def test_boxes_of_parts_are_their_cells_and_move_with_the_offsets():
    model = make(parts=2, upsample=2).eval()  # 14 × 14 cells of 2 pixels
    offsets = torch.zeros(1, 8, 14, 14)
    offsets[0, 2:4, 3, 4] = torch.tensor([0.5, -1.25])  # the second part
    latents = torch.cat([torch.rand(1, model.prototypes.channels, 14, 14), offsets], dim=1)
    boxes = 28 * model.prototypes.part_boxes(latents, torch.tensor([0]), torch.tensor([3 * 14 + 4]))
    assert boxes[0].tolist() == [[6, 4, 8, 6], [7.5, 5, 9.5, 7], [6, 8, 8, 10], [10, 8, 12, 10]]
