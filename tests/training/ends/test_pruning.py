"""Pruning: the cases of the fact sheet, a simple re-implementation, and edge cases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looking_glass import LookingGlass, batches
from resemblance.config.errors import UserError
from resemblance.prototypes.layer import PrototypeLayer
from resemblance.training.ends.pruning import prune


def single_cells(values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1)


def prototypes_at(values, owners):
    return LookingGlass(single_cells(values), owners, (4, 4))


@pytest.mark.parametrize(("labels", "stays"), [([0, 0, 1, 2, 3, 3], False), ([0, 0, 0, 1, 2, 3], True)])
def test_the_values_of_the_fact_sheet(labels, stays):
    # A second prototype of class 0, amid its images, keeps the class from being left without any.
    latents = single_cells([1, 2, 3, 4, 5, 6, 100, 101, 102])
    labels = torch.tensor([*labels, 0, 0, 0])
    owners = torch.zeros(2, 4, dtype=torch.bool)
    owners[:, 0] = True
    model = prototypes_at([0.0, 101.0], owners)
    report = prune(model, batches(latents, labels, 2))  # 3 of the 6 nearest
    assert report.own[0] == labels[:6].eq(0).sum()
    assert (0 in report.kept) == stays
    assert len(model.prototypes) == 1 + stays
    assert report.dropped_by_class == ({} if stays else {"class 0": 1})


def plain_prune(model, latents, labels, k, threshold):
    vectors, owners = model.prototypes.vectors.detach(), model.prototypes.owners
    own = []
    for j in range(len(vectors)):
        distances = [(((image - vectors[j]) ** 2).sum(0).min().item(), i) for i, image in enumerate(latents)]
        nearest = [i for _, i in sorted(distances)[:k]]
        own.append(sum(owners[j, labels[i]].item() for i in nearest))
    kept = {j for j in range(len(vectors)) if own[j] >= threshold or not owners[j].any()}
    for c in range(owners.shape[1]):
        members = owners[:, c].nonzero().flatten().tolist()
        if members and not kept & set(members):
            kept.add(max(members, key=lambda j: (own[j], -j)))
    # All classes are checked before any prototype is spared: one spared for a class does not count for another.
    return own, kept


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 15), k=st.integers(1, 20), data=st.data())
def test_pruning_agrees_with_a_plain_re_implementation_whatever_the_batches(seed, size, k, data):
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randint(4, (13, 2, 3, 3), generator=generator).float()
    labels = torch.randint(3, (13,), generator=generator)
    vectors = torch.randint(4, (7, 2, 1, 1), generator=generator).float()
    owners = torch.cat([PrototypeLayer.class_major(2, 3), torch.zeros(1, 3, dtype=torch.bool)])
    threshold = data.draw(st.integers(1, k))
    order = data.draw(st.permutations(range(13)))
    model = LookingGlass(vectors, owners, (12, 12))
    own, kept = plain_prune(model, latents, labels, k, threshold)
    report = prune(model, batches(latents, labels, size, order), k=k, threshold=threshold)
    assert list(report.own) == own
    assert set(report.kept) == kept
    assert torch.equal(model.prototypes.vectors, vectors[list(report.kept)])


def test_a_class_keeps_its_best_prototype():
    latents, labels = single_cells([0, 1, 2, 10]), torch.tensor([1, 1, 0, 0])
    model = prototypes_at([0.0, 2.0, 1.0], torch.tensor([[True, False], [True, False], [False, True]]))
    report = prune(model, batches(latents, labels, 2), k=3, threshold=2)
    assert report.own == (1, 1, 2)
    assert report.kept == (0, 2)
    assert report.spared == (0,)
    assert report.dropped == (1,)
    assert any("only because" in line for line in report.lines())
    assert report.to_dict()["dropped_by_class"] == {"class 0": 1}


def test_fewer_images_than_k():
    latents, labels = single_cells([0, 1, 2]), torch.tensor([0, 0, 0])
    model = prototypes_at([0.0], torch.tensor([[True, False]]))
    assert prune(model, batches(latents, labels, 2)).kept == (0,)


def test_what_cannot_be_pruned_is_refused():
    model = prototypes_at([0.0], torch.tensor([[True, False]]))
    with pytest.raises(UserError, match="no training images"):
        prune(model, [])
    with pytest.raises(UserError, match="threshold"):
        prune(model, [], k=3, threshold=4)
    model.traits = replace(model.traits, prunes=False)
    with pytest.raises(UserError, match="does not prune"):
        prune(model, [])
