"""The agreement of reasons, against plain re-implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from cases import CASES, METHODS, PROTOTYPE_METHODS, made
from models import batch
from resemblance.audit.shifts.reason_agreement import (
    Agreement,
    Reasons,
    agreement,
    overlap,
    reasons_of,
    shown_count,
    similarity_rank_correlation,
)
from resemblance.audit.total_contributions import total_contributions


def test_all_methods_but_the_black_box_and_a_baseline_have_prototypes():
    assert set(METHODS) - set(PROTOTYPE_METHODS) == {"blackbox", "autoencoder"} <= set(CASES)


def test_rank_correlation_is_scipys_image_by_image():
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 6, (20, 12), generator=generator).double()  # with many ties
    second = torch.randint(0, 6, (20, 12), generator=generator).double()
    among = torch.rand(20, 12, generator=generator) < 0.6
    whole, part = (
        similarity_rank_correlation(first, second),
        similarity_rank_correlation(first, second, among),
    )
    for row in range(20):
        mask = among[row]
        assert whole[row].item() == pytest.approx(spearmanr(first[row], second[row]).statistic)
        assert part[row].item() == pytest.approx(spearmanr(first[row, mask], second[row, mask]).statistic)


def test_rank_correlation_without_an_order_is_undefined():
    rising = torch.arange(4.0)[None]
    one = torch.tensor([[True, False, False, False]])
    none = torch.zeros(1, 4, dtype=torch.bool)
    damaged = torch.tensor([[0.0, 1.0, torch.nan, 2.0]])
    for first, second, among in (
        (rising, torch.ones(1, 4), None),
        (torch.ones(1, 4), rising, None),
        (rising, rising, one),
        (rising, rising, none),
        (rising, damaged, None),
    ):
        assert similarity_rank_correlation(first, second, among).isnan().all()
    apart = torch.tensor([[True, True, False, True]])
    assert similarity_rank_correlation(rising, damaged, apart).item() == pytest.approx(1)
    assert similarity_rank_correlation(rising, 1e-9 * rising**3).item() == pytest.approx(1)


def test_overlap_of_sets():
    first = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    second = torch.tensor([[0, 1, 1, 1, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]).bool()
    assert overlap(first, second)[:3].tolist() == pytest.approx([2 / 3, 1, 0])
    assert math.isnan(overlap(first, second)[3])
    assert torch.equal(overlap(first, second)[:3], overlap(second, first)[:3])


@pytest.mark.parametrize("method", PROTOTYPE_METHODS)
def test_an_image_agrees_with_itself(method):
    model = made(method).eval()
    images, labels = batch(model, 6)
    reasons = reasons_of(model, images, 5)
    owners = model.prototypes.owners
    own = owners.T[labels] if owners.any() else None
    result = agreement(reasons, reasons_of(model, images.clone(), 5), own)
    for name in ("overlap", "rank_correlation", "own_rank_correlation", "kept"):
        values = getattr(result, name)
        assert torch.allclose(values[~values.isnan()], torch.ones(1).double()), name
    assert (result.kept == 1).all()
    assert not result.rank_correlation.isnan().all()
    assert torch.equal(result.first_top, reasons.similarities.amax(dim=1))
    assert torch.equal(result.first_top, result.first_top_after)


@pytest.mark.parametrize("method", PROTOTYPE_METHODS)
def test_agreement_does_not_depend_on_direction_or_batch(method):
    model = made(method).eval()
    images, other = batch(model, 5)[0], batch(model, 5, seed=1)[0]
    first, second = reasons_of(model, images, 5), reasons_of(model, other, 5)
    there, back = agreement(first, second), agreement(second, first)
    for name in ("overlap", "rank_correlation", "kept"):
        assert torch.allclose(getattr(there, name), getattr(back, name), equal_nan=True)
    assert torch.equal(there.first_top_after, back.second_top_after)
    assert torch.equal(there.second_top, back.first_top)
    alone = [
        agreement(reasons_of(model, images[[row]], 5), reasons_of(model, other[[row]], 5)) for row in range(5)
    ]
    for name, parts in zip(Agreement._fields, zip(*alone, strict=True), strict=True):
        assert torch.allclose(getattr(there, name), torch.cat(parts), atol=1e-5, equal_nan=True), name


@pytest.mark.parametrize("method", PROTOTYPE_METHODS)
def test_the_prototypes_shown_are_those_that_a_plain_sort_gives(method):
    model = made(method).eval()
    images, _ = batch(model, 4)
    with torch.no_grad():
        output = model(images)
        predicted = output.scores.argmax(dim=1)
        evidence = model.evidence(output, predicted)
    similarities, count = output.similarities, shown_count(model.prototypes, 5)
    reasons = reasons_of(model, images, 5)
    for row in range(4):
        total = dict.fromkeys(range(len(model.prototypes)), 0.0)
        for reason, contribution in enumerate(evidence.contributions[row].tolist()):
            if evidence.paths is None:
                total[int(evidence.prototypes[reason])] += contribution
                continue
            steps = zip(evidence.paths.prototypes[reason], evidence.paths.present[reason], strict=True)
            for prototype, present in steps:
                if prototype >= 0 and present:
                    total[int(prototype)] += contribution
        contributions = total_contributions(model.evidence(output, predicted), len(model.prototypes))[row]
        assert contributions.tolist() == pytest.approx(list(total.values()), abs=1e-5)
        if model.traits.order == "similarity":
            order = sorted(total, key=lambda p: -similarities[row, p].item())[:count]
        else:
            order = sorted(total, key=lambda p: (-contributions[p].item(), -similarities[row, p].item()))[
                :count
            ]
            order = [p for p in order if contributions[p] != 0]
        assert reasons.shown[row].nonzero().flatten().tolist() == sorted(order)


def test_the_top_prototype_is_followed_in_both_directions():
    first = Reasons(torch.tensor([0]), torch.tensor([[5.0, 1.0, 2.0]]).double(), torch.eye(3).bool()[:1])
    second = Reasons(torch.tensor([0]), torch.tensor([[0.5, 4.0, 3.0]]).double(), torch.eye(3).bool()[1:2])
    result = agreement(first, second)
    assert (result.first_top.item(), result.first_top_after.item()) == (5, 0.5)
    assert (result.second_top.item(), result.second_top_after.item()) == (4, 1)
    assert (result.overlap.item(), result.kept.item()) == (0, 1)
    assert result.rank_correlation.item() == pytest.approx(spearmanr([5, 1, 2], [0.5, 4, 3]).statistic)
    assert np.isnan(result.own_rank_correlation.item())
