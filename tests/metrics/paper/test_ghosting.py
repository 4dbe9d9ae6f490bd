from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resemblance.config.errors import UserError
from resemblance.metrics import Ghosting

SIMILARITIES = torch.tensor([[0.9, 0.1, 0.2], [0.8, 0.3, 0.1], [0.7, 0.2, 0.3], [0.1, 0.6, 0.2]])
ONE = torch.ones(3, 1, dtype=torch.bool)


def measured(similarities, owners, labels, classes="all", definition="default"):
    ghosting = Ghosting(owners, classes, definition)
    ghosting.update(similarities, labels)
    return ghosting


def test_the_example_of_the_fact_sheet():
    ghosting = measured(SIMILARITIES, ONE, torch.zeros(4, dtype=torch.int64))
    assert ghosting.activations.tolist() == [3, 1, 0]
    assert ghosting.compute().item() == pytest.approx(1 / 3)
    assert ghosting.importances().tolist() == [0.75, 0.25, 0]
    assert ghosting.ghosted().tolist() == [False, False, True]
    printed = measured(SIMILARITIES, ONE, torch.zeros(4, dtype=torch.int64), definition="paper")
    assert printed.compute().item() == pytest.approx(0.6667, abs=5e-5)


@given(st.integers(1, 12), st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_printed_formula_is_the_same_for_every_model(prototypes, images, seed):
    similarities = torch.rand(images, prototypes, generator=torch.Generator().manual_seed(seed))
    owners = torch.ones(prototypes, 1, dtype=torch.bool)
    printed = measured(similarities, owners, torch.zeros(images, dtype=torch.int64), definition="paper")
    assert printed.compute().item() == pytest.approx(1 - 1 / prototypes)


def obvious(similarities, owners, labels, classes):
    """D_tsp and importances, image by image."""
    counts, images = [0] * len(owners), [0] * owners.shape[1]
    for row, label in zip(similarities.tolist(), labels.tolist(), strict=True):
        own = [p for p in range(len(owners)) if owners[p, label]]
        if classes != "all" and not own:
            continue
        images[label] += 1
        candidates = own if classes == "own" else range(len(owners))
        winner = max(candidates, key=lambda p: (row[p], -p))
        if classes != "own images" or winner in own:
            counts[winner] += 1
    if not sum(images):
        return math.nan, None
    of = [
        sum(images) if classes == "all" else sum(n for n, o in zip(images, owner, strict=True) if o)
        for owner in owners
    ]
    return counts.count(0) / len(owners), [c / n if n else math.nan for c, n in zip(counts, of, strict=True)]


@given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 40), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("classes", ["all", "own", "own images"])
def test_against_counting_by_hand(classes, prototypes, number, images, seed):
    generator = torch.Generator().manual_seed(seed)
    owners = torch.rand(prototypes, number, generator=generator) < 0.5  # shared, and some without class
    similarities = torch.randint(5, (images, prototypes), generator=generator).float()  # with ties
    labels = torch.randint(number, (images,), generator=generator)
    ghosting = Ghosting(owners, classes)
    for part in torch.arange(images).split(7):
        ghosting.update(similarities[part], labels[part])
    value, importances = obvious(similarities, owners, labels, classes)
    assert ghosting.compute().item() == pytest.approx(value, nan_ok=True)
    if importances is not None:
        assert ghosting.importances().tolist() == pytest.approx(importances, nan_ok=True)


def test_duplicates_ghost_each_other_and_are_counted():
    ghosting = measured(SIMILARITIES[:, [0, 0, 1]], ONE, torch.zeros(4, dtype=torch.int64))
    assert ghosting.activations.tolist() == [3, 0, 1]  # ties go to the lowest index
    assert ghosting.counted() == {"images": 4, "ties": 3, "undefined": 0, "unowned": 0, "foreign": 0}


def test_one_prototype_per_class_is_never_ghosted_among_its_own():
    generator = torch.Generator().manual_seed(0)
    similarities, labels = torch.rand(60, 5, generator=generator), torch.arange(60) % 5
    similarities[:, 0] += 1  # which is the most similar of all
    own = measured(similarities, torch.eye(5), labels, "own")
    assert own.compute() == 0
    assert own.importances().tolist() == [1] * 5
    assert measured(similarities, torch.eye(5), labels).compute().item() == pytest.approx(0.8)
    images = measured(similarities, torch.eye(5), labels, "own images")
    assert images.importances().tolist() == [1, 0, 0, 0, 0]
    assert images.counted()["foreign"] == 48


def test_nan_is_left_out_and_counted():
    similarities = SIMILARITIES.clone()
    similarities[3, 2] = torch.nan
    ghosting = measured(similarities, ONE, torch.zeros(4, dtype=torch.int64))
    assert ghosting.counted()["undefined"] == 1
    assert ghosting.importances().tolist() == [1, 0, 0]
    nothing = measured(similarities * torch.nan, ONE, torch.zeros(4, dtype=torch.int64))
    assert nothing.compute().isnan()
    assert nothing.importances().isnan().all()


def test_infinite_similarities_are_similarities():
    ghosting = measured(torch.full((2, 3), -torch.inf), ONE, torch.tensor([0, 0]))
    assert ghosting.activations.tolist() == [2, 0, 0]
    assert ghosting.counted()["ties"] == 2


def test_mistakes_are_told():
    with pytest.raises(UserError, match="no definition 'released'; choose default or paper"):
        Ghosting(ONE, definition="released")
    with pytest.raises(ValueError, match="'own images'"):
        Ghosting(ONE, classes="mine")
