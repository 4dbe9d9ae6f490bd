"""Which prototypes are merged, compared with the fact sheet's values and plain re-implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models
from methods.protopshare.small_models import batches_of, differences_of, make
from models import noise_for
from resemblance.config.errors import UserError
from resemblance.methods.protopshare.merging import (
    PairwiseDifferences,
    merge,
    merge_down_to,
    merge_within,
    nearest_threshold,
)
from resemblance.training.ends import actions


def test_the_fact_sheets_values():
    differences = differences_of([[0, 0, 5], [1, 1, 5], [2, 2.1, 5]])
    assert differences.min(axis=1) == pytest.approx([0.01, 0.01, 49.41])
    threshold = nearest_threshold(differences, 2)
    assert threshold == pytest.approx(0.01)
    into = merge_within(differences, threshold)
    assert into.tolist() == [0, 0, 2]
    model = make(prototypes_per_class=1, variant="released")
    with torch.no_grad():
        model.last.weight.copy_(torch.arange(9.0).reshape(3, 3))
    assert model.merge(torch.from_numpy(into)).tolist() == [0, 2]
    assert model.last.weight.tolist() == [[1, 2], [7, 5], [13, 8]]
    assert model.prototypes.owners.tolist() == [[True, True, False], [False, False, True]]


def test_negative_evidence_accumulates_only_in_the_released_variant():
    """Merge the fact sheet's columns (1, −.5, −.5) and (−.5, 1, −.5)."""
    similarities = torch.tensor([[2.0, 2.0, 5.0]])  # the first two respond equally
    columns = torch.full((3, 3), -0.5) + 1.5 * torch.eye(3)
    expected = {"released": [0.5, 0.5, -1.0], "paper": [1.5, 1.5, 0.0]}
    for variant, column in expected.items():
        model = make(prototypes_per_class=1, variant=variant)
        with torch.no_grad():
            model.last.weight.copy_(columns)
            before = (similarities @ columns.T).softmax(1)
            model.merge(torch.tensor([0, 0, 2]))
            after = model.last(similarities[:, [0, 2]]).softmax(1)
        assert model.last.weight[:, 0].tolist() == column
        assert torch.allclose(before, after, atol=1e-6)  # both have the same probabilities


def plain_merge(differences, threshold):
    """Merge as the released code does: go through those that are left, and let each absorb all that are near to it."""
    left = list(range(len(differences)))
    into = {j: j for j in left}
    place = 0
    while place < len(left):
        i = left[place]
        for j in [j for j in left if j != i and differences[i][j] <= threshold]:
            into[j] = i
            left.remove(j)
        place += 1
    return [into[j] for j in range(len(differences))]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 12), m=st.integers(1, 12), size=st.integers(1, 9))
def test_merging_agrees_with_a_plain_re_implementation(seed, count, m, size):
    columns = torch.randint(4, (9, count), generator=torch.Generator().manual_seed(seed)).double()
    pairs = PairwiseDifferences()
    for part in columns.split(size):
        pairs.update(part)
    differences = pairs.differences()
    for i in range(count):
        for j in range(count):
            plain = sum((columns[x, i] - columns[x, j]) ** 2 for x in range(9)).item()
            assert differences[i, j] == (np.inf if i == j else pytest.approx(plain, abs=1e-9))
            if i != j and plain == 0:
                assert differences[i, j] == 0  # exactly, so that equal columns are ties
    assert (differences == differences.T).all()
    nearest = sorted(
        min(row[j] for j in range(count) if j != i) if count > 1 else np.inf
        for i, row in enumerate(differences)
    )
    threshold = nearest_threshold(differences, m)
    assert threshold == nearest[min(m, count) - 1]
    assert merge_within(differences, threshold).tolist() == plain_merge(differences, threshold)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 15), requested=st.integers(1, 15))
def test_merging_down_leaves_exactly_the_requested_number(seed, count, requested):
    columns = torch.randint(5, (4, count), generator=torch.Generator().manual_seed(seed)).double()
    differences = differences_of(columns)
    into = merge_down_to(differences, requested)
    kept = {j for j in range(count) if into[j] == j}
    assert len(kept) == min(requested, count)
    assert set(into.tolist()) == kept  # what was merged absorbs nothing
    assert all(target <= j for j, target in enumerate(into))


def test_two_thousand_prototypes_are_merged_in_seconds():
    columns = torch.rand(500, 2000, generator=torch.Generator().manual_seed(0))
    pairs = PairwiseDifferences()
    pairs.update(columns)
    assert np.unique(merge_down_to(pairs.differences(), 1000)).size == 1000


def test_data_and_vectors_merge_different_prototypes():
    """Two prototypes that are far from each other, and from all images, respond similarly."""
    model = make(classes=2, prototypes_per_class=2, similarity="linear", keep=3).eval()
    latents = torch.zeros(3, 8, 7, 7)
    latents[1:] += 0.1
    with torch.no_grad():
        model.prototypes.vectors.zero_()
        model.prototypes.vectors[0, 0] = 5.0
        model.prototypes.vectors[1, 0] = 0.3
        model.prototypes.vectors[3, 1] = 5.0
    model.latents = lambda images: latents[: len(images)]
    report = merge(model, batches_of(torch.rand(3, 1, 28, 28), torch.tensor([0, 1, 1]), 3))
    assert report.into == (0, 1, 2, 0)
    assert model.prototypes.owners.tolist() == [[True, True], [True, False], [False, True]]
    assert "1 of them shared by 2 or more" in report.lines()[0]
    other = make(classes=2, prototypes_per_class=2, keep=3, merge_by="vectors").eval()
    with torch.no_grad():
        other.prototypes.vectors.zero_()
        other.prototypes.vectors[0, 0], other.prototypes.vectors[1, 0], other.prototypes.vectors[3, 1] = (
            5.0,
            0.3,
            5.0,
        )
    assert merge(other, []).into == (0, 1, 1, 3)


def test_what_is_compared_and_how_many_stay():
    images, labels = torch.rand(5, 1, 28, 28), torch.tensor([0, 1, 2, 0, 1])
    for variant, compared in (("paper", "similarities"), ("released", "distances")):
        model = make(variant=variant, merge=4).eval()
        with torch.no_grad():
            output = model(images)
        columns = output.similarities if compared == "similarities" else output.extras["distances"]
        differences = differences_of(columns)
        expected = plain_merge(differences, nearest_threshold(differences, 4))
        assert list(merge(model, batches_of(images, labels)).into) == expected
        assert len(set(expected)) < 6
    with pytest.raises(UserError, match="no training images"):
        merge(make().eval(), [])
    with pytest.raises(UserError, match="does not merge"):
        merge(models.make("protopnet", encoder="small"), [])


@pytest.mark.parametrize(
    ("keep", "rounds", "left"), [(0.5, 1, [30]), (0.25, 2, [30, 15]), (20, 3, [42, 29, 20])]
)
def test_rounds_reach_the_requested_number(keep, rounds, left):
    model = make(classes=10, prototypes_per_class=6, keep=keep, rounds=rounds).eval()
    context = actions.ActionContext(train=noise_for(model, 40))
    for count in left:
        actions.run("merge", model, context)
        assert len(model.prototypes) == count == len(model.facts["members"])
        assert context.kept is not None
        assert len(context.kept) == count
    members = sorted(entry["prototype"] for entries in model.facts["members"] for entry in entries)
    assert members == list(range(60))
    rounds_of = {entry["round"] for entries in model.facts["members"] for entry in entries}
    assert rounds_of == set(range(rounds + 1))
    for entries, names in zip(
        model.facts["members"], model.prototypes.owner_names(model.spec.classes), strict=True
    ):
        assert set(names) == {name for entry in entries for name in entry["classes"]}
