from __future__ import annotations

import math

import pytest
import torch

from resemblance.metrics import Diversity
from resemblance.prototypes.geometry import InnerProduct, SquaredDistance
from resemblance.prototypes.pairwise import pairwise_similarities, released_similarities
from resemblance.prototypes.similarity import log_similarity


def root(squared):
    return log_similarity(squared.sqrt())


def measured(similarities, owners=None, **options):
    diversity = Diversity(**options)
    diversity.update(similarities, torch.ones(len(similarities), 1) if owners is None else owners)
    return diversity


@pytest.mark.parametrize(
    ("distance", "activation", "expected"),
    [
        (1, log_similarity, 0.00274532),
        (1, root, 0.00274532),
        (3, log_similarity, 0.00161964),
        (3, root, 0.00190842),
    ],
)
def test_the_examples_of_the_fact_sheet(distance, activation, expected):
    vectors = torch.tensor([[0.0, 0.0], [0.0, float(distance)]])
    value = measured(pairwise_similarities(vectors, SquaredDistance(), activation)).compute().item()
    assert value == pytest.approx(expected, abs=5e-9)
    probabilities = pairwise_similarities(vectors).softmax(dim=1)[0].tolist()
    if distance == 1:
        assert probabilities == pytest.approx([0.99980006, 0.00019994], abs=5e-9)


def test_identical_prototypes_are_the_worst():
    for count in (2, 3, 17):
        assert measured(
            pairwise_similarities(torch.rand(1, 5).expand(count, 5))
        ).compute().item() == pytest.approx(1, abs=1e-15)


def test_large_dot_products_are_diverse_and_not_the_worst():
    vectors = torch.eye(2) * math.sqrt(200)
    similarities = pairwise_similarities(vectors, InnerProduct(), torch.neg)
    torch.testing.assert_close(similarities, torch.eye(2, dtype=torch.float64) * 200, rtol=1e-6, atol=0)
    exact = measured(similarities)
    assert exact.compute().item() < 1e-80
    assert exact.counted()["undefined"] == 0
    released = measured(similarities, definition="released")
    assert released.compute().item() == 1  # 0 · log 0 is NaN in float32, and NaN counts as 1


def test_rounding_of_the_released_code_looks_like_similarity():
    """Prototypes 12 to 44 apart, 512 dimensions: what table 7 is largely made of."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(10, 1, 512, generator=generator) + 0.5 * torch.randn(
        10, 5, 512, generator=generator
    )
    vectors = vectors.flatten(0, 1) + 3
    owners = torch.eye(10).repeat_interleave(5, dim=0)
    exact = measured(pairwise_similarities(vectors, activation=root), owners, scope="all").compute().item()
    per_class = measured(pairwise_similarities(vectors, activation=root), owners).compute().item()
    released = measured(released_similarities(vectors), owners, definition="released").compute().item()
    assert exact < 0.02
    assert per_class < 0.005
    assert released > 5 * exact


def obvious(similarities, owners):
    """Equation 4 for each class, in Python; mean over the classes with several prototypes."""
    values = []
    for column in owners.T:
        members = column.nonzero().flatten().tolist()
        if len(members) < 2:
            continue
        entropies = []
        for k in members:
            row = [float(similarities[k, other]) for other in members]
            weights = [math.exp(value - max(row)) for value in row]
            p = [weight / sum(weights) for weight in weights]
            entropies.append(-sum(x * math.log(x) for x in p if x > 0) / math.log(len(members)))
        values.append(sum(entropies) / len(entropies))
    return sum(values) / len(values)


@pytest.mark.parametrize("seed", range(5))
def test_against_the_equation_class_by_class(seed):
    generator = torch.Generator().manual_seed(seed)
    similarities = 4 * torch.randn(12, 12, generator=generator, dtype=torch.float64)
    owners = torch.rand(12, 4, generator=generator) < 0.5
    assert measured(similarities, owners).compute().item() == pytest.approx(
        obvious(similarities, owners), rel=1e-12
    )
    whole = torch.ones(12, 1)
    value = measured(similarities, owners, scope="all").compute().item()
    assert value == pytest.approx(obvious(similarities, whole), rel=1e-12)
    # In good arithmetic the released formula is that over all prototypes.
    released = measured(similarities, owners, definition="released").compute().item()
    assert released == pytest.approx(value, rel=1e-5)
    assert 0 <= value <= 1


def test_single_prototypes_are_left_out_and_counted():
    similarities = pairwise_similarities(torch.tensor([[0.0], [1.0], [5.0]]))
    owners = torch.tensor([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    some = measured(similarities, owners)
    assert some.compute().item() == pytest.approx(0.00274532, abs=5e-9)
    assert some.counted() == {"models": 1, "classes": 1, "single": 1, "empty": 1, "undefined": 0}
    single = measured(similarities, torch.eye(3))
    assert single.compute().isnan()
    assert single.counted()["single"] == 3
    assert measured(similarities[:1, :1], scope="all").compute().isnan()


def test_nan_is_left_out_and_counted():
    vectors = torch.tensor([[0.0], [1.0], [torch.nan]])
    broken = measured(pairwise_similarities(vectors))
    assert broken.compute().item() == pytest.approx(0.00274532, abs=5e-9)
    assert broken.counted()["undefined"] == 1
    similarities = pairwise_similarities(torch.tensor([[0.0], [1.0], [1.0]]))
    similarities[2, 0] = torch.nan
    one_row = measured(similarities)
    assert one_row.counted()["undefined"] == 1
    assert not one_row.compute().isnan()
    nothing = measured(similarities * torch.nan)
    assert nothing.compute().isnan()
    assert nothing.counted() == {"models": 0, "classes": 0, "single": 0, "empty": 1, "undefined": 3}
    released = measured(similarities * torch.nan, definition="released")
    assert released.compute() == 1
    assert released.counted()["undefined"] == 3


def test_moving_apart_never_lowers_diversity():
    vectors = torch.rand(6, 8, generator=torch.Generator().manual_seed(0))
    values = [
        measured(pairwise_similarities(scale * vectors)).compute().item() for scale in (0, 0.01, 0.1, 1, 10)
    ]
    assert values == sorted(values, reverse=True)


def test_wrong_scope():
    with pytest.raises(ValueError, match="'class' or 'all'"):
        Diversity(scope="classes")
