from __future__ import annotations

import math

import pytest
import torch

from cases import METHODS, made
from resemblance.core.prototype_model import PrototypeModel
from resemblance.prototypes.geometry import InnerProduct
from resemblance.prototypes.pairwise import pairwise_similarities, released_similarities, repeated_logits


def test_distances_are_those_of_float64():
    vectors = 5 + torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    similarities = pairwise_similarities(vectors)
    rows = vectors.double().numpy()
    squared = ((rows[:, None] - rows) ** 2).sum(axis=2)
    expected = torch.from_numpy(squared)
    expected = ((expected + 1) / (expected + 1e-4)).log()
    torch.testing.assert_close(similarities, expected, rtol=1e-10, atol=0)
    assert similarities.diagonal().tolist() == [similarities[0, 0].item()] * 40
    assert similarities[0, 0].item() == pytest.approx(-math.log(1e-4))


def test_the_released_code_rounds_distances_of_zero():
    vectors = 5 + torch.randn(40, 512, generator=torch.Generator().manual_seed(0))
    rounded = released_similarities(vectors).diagonal()
    assert rounded.min() < 7  # instead of 9.21
    few = released_similarities(vectors[:25]).diagonal()
    torch.testing.assert_close(few, torch.full((25,), -math.log(1e-4)))  # differences, up to 25 vectors


def test_windows_and_inner_products():
    vectors = torch.randn(6, 4, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    flat = vectors.flatten(1)
    torch.testing.assert_close(pairwise_similarities(vectors, InnerProduct(), torch.neg), flat @ flat.T)
    unit = flat / flat.norm(dim=1, keepdim=True)
    projection = pairwise_similarities(vectors, InnerProduct(unit_vectors=True), torch.neg)
    torch.testing.assert_close(projection, flat @ unit.T)  # row: the patch, column: the direction
    cosine = pairwise_similarities(vectors, InnerProduct(True, unit_patches=True), torch.neg)
    torch.testing.assert_close(cosine, unit @ unit.T)


def test_logits_are_repeated_class_by_class():
    assert repeated_logits(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 3).tolist() == [
        [1] * 3 + [2] * 3,
        [3] * 3 + [4] * 3,
    ]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_with_vectors_compares_its_prototypes(method):
    model = made(method)
    if not isinstance(model, PrototypeModel):
        return
    between = model.prototype_similarities()
    if between is None:
        assert not model.prototypes.has_vectors
        return
    count = len(model.prototypes)
    assert between.shape == (count, count)
    assert between.dtype == torch.float64
    assert between.isfinite().all()
    if method not in ("flint", "tesnet"):  # where a longer vector has larger products
        assert (between <= between.diagonal()[:, None] + 1e-6).all()


def test_parts_of_a_deformable_prototype_have_unit_length_together():
    between = made("deformable").prototype_similarities()
    torch.testing.assert_close(between.diagonal(), torch.ones(len(between), dtype=torch.float64))
