"""Cosines, the angular margin and orthogonality, against the fact sheet's values."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from methods.deformable.small_models import glass, see
from resemblance.methods.deformable.angles import released_orthogonality, with_margin
from resemblance.methods.weighted_parts.bases import class_bases, inner_products, orthogonality


@pytest.mark.parametrize(("length", "expected"), [(1.0, 0.98990), (100.0, 0.99010)])
def test_the_authors_cosine_of_equal_vectors_has_the_fact_sheets_values(length, expected):
    direction = F.normalize(torch.rand(1, 8, generator=torch.Generator().manual_seed(1)))
    for variant, value in (("released", expected), ("paper", 1.0)):
        model = glass(length * direction.repeat(2, 1), variant=variant)
        latents = see(model, (length * direction).reshape(1, 8, 1, 1).expand(1, 8, 4, 4))
        assert model.head(latents).similarities[0, 0].item() == pytest.approx(value, abs=1e-5)


def test_the_margin_has_the_fact_sheets_value():
    assert with_margin(torch.tensor(0.8), 0.1).item() == pytest.approx(0.85590, abs=1e-5)


def test_class_grams_have_the_fact_sheets_values():
    equal, orthogonal = torch.eye(3)[[0, 0]][None], torch.eye(3)[[0, 1]][None]
    assert released_orthogonality(equal, 1).item() == pytest.approx(math.sqrt(2))
    assert released_orthogonality(orthogonal, 1).item() == 0
    present = torch.ones(1, 2, dtype=torch.bool)
    assert orthogonality(inner_products(equal), present, 1.0).item() == pytest.approx(2.0)
    assert orthogonality(inner_products(orthogonal), present, 1.0).item() == 0


def test_bases_hold_the_parts_of_each_class_and_nothing_else():
    parts = torch.arange(1, 9.0).reshape(4, 2, 1)
    owners = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 1]]).bool()
    bases, present = class_bases(parts, owners)
    assert bases[:, :, 0].tolist() == [
        [3, 4, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 2, 5, 6, 7, 8],
    ]
    assert torch.equal(present, bases[:, :, 0] > 0)
    ordered = torch.eye(2, dtype=torch.bool).repeat_interleave(2, dim=0)
    assert class_bases(parts, ordered)[0][:, :, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_the_margin_has_gradients_everywhere():
    for margin in (0.0, 0.1):
        a = torch.tensor([-1.0, 0.0, 0.5, math.cos(0.1), 0.999, 1.0, 1.0000001], requires_grad=True)
        with_margin(a, margin).sum().backward()
        assert a.grad.isfinite().all()
        if margin == 0:
            assert torch.allclose(with_margin(a, margin), a.clamp(max=1))
