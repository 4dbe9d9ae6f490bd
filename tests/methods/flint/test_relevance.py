"""Relevance of reasons to classes, compared with loops."""

from __future__ import annotations

import pytest
import torch

from resemblance.data import ImageDataset, loader
from resemblance.methods.flint.relevance import class_relevance, count_relevant, local_relevance
from resemblance.training.ends import actions
from test_contract import make, source_of


def test_the_largest_contribution_has_relevance_one_whatever_its_sign():
    relevance = local_relevance(torch.tensor([[1.0, -4.0, 2.0], [3.0, 1.0, -1.5], [0.0, 0.0, 0.0]]))
    assert relevance.tolist() == [[0.25, -1.0, 0.5], [1.0, pytest.approx(1 / 3), -0.5], [0.0, 0.0, 0.0]]


def test_conciseness_counts_contributions_near_the_largest():
    contributions = torch.tensor([[3.0, 2.1, 1.6, 1.1, 0.7, -5.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    factors = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
    expected = [
        [sum(value > max(row) / tau for value in row) for tau in factors] for row in contributions.tolist()
    ]
    assert count_relevant(contributions).tolist() == expected
    assert expected[0] == [2, 3, 3, 4, 4, 5]


@pytest.mark.parametrize("batch_size", [5, 24])
def test_class_relevance_is_the_mean_over_images_predicted_as_the_class(batch_size):
    model = make("flint").eval()
    source = source_of(model)
    images = torch.cat([batch.images for batch in loader(ImageDataset(source, model.spec.image), 8)])
    with torch.no_grad():
        output = model(images)
        # Two classes are predicted, the third never.
        model.interpreter.weight.mul_(20)
        model.interpreter.bias.copy_(torch.tensor([0.0, -1e3, 0.0]))
        output = model(images)
    rows: dict[int, list[list[float]]] = {0: [], 1: [], 2: []}
    weights = model.interpreter.weight.tolist()
    for scores, attributes in zip(output.scores.tolist(), output.similarities.tolist(), strict=True):
        c = max(range(3), key=lambda k: scores[k])
        contributions = [a * w for a, w in zip(attributes, weights[c], strict=True)]
        largest = max(abs(value) for value in contributions)
        rows[c].append([value / largest for value in contributions])
    assert not rows[1]
    relevance = class_relevance(model, loader(ImageDataset(source, model.spec.image), batch_size))
    for c, several in rows.items():
        mean = [sum(column) / len(several) for column in zip(*several, strict=True)] if several else [0.0] * 7
        assert relevance[c].tolist() == pytest.approx(mean, abs=1e-5)


def test_the_action_stores_it_in_the_model_and_counting_usage_assigns_the_classes():
    model = make("flint").eval()
    source = source_of(model)
    context = actions.ActionContext(train=source, batch_size=8)
    for name in ("relevance", "usage"):
        actions.run(name, model, context)
    expected = class_relevance(model, loader(ImageDataset(source, model.spec.image), 8))
    assert torch.equal(model.relevance, expected)
    assert expected.abs().max() > 0.1
    assert torch.equal(model.prototypes.owners, (expected > 0.1).T)
    owned = model.prototypes.owners.any(1)
    attributes = torch.cat(
        [model(b.images).similarities for b in loader(ImageDataset(source, model.spec.image), 8)]
    )
    labels = torch.from_numpy(source.labels)
    for j in range(7):  # its source is the image of its classes with the largest activation; or of all
        allowed = model.prototypes.owners[j][labels] | ~owned[j]
        if not allowed.any():  # of a class without images
            assert model.prototypes.source_index[j] == -1
            continue
        best = attributes[:, j].masked_fill(~allowed, -torch.inf).argmax()
        assert model.prototypes.source_index[j] == best


def test_an_attribute_that_no_image_has_has_no_source():
    model = make("flint small").eval()
    with torch.no_grad():
        model.attributes.linear.bias[:2] = -1e3
    source = source_of(model)
    context = actions.ActionContext(train=source, batch_size=8)
    for name in ("relevance", "usage"):
        actions.run(name, model, context)
    assert model.prototypes.source_index[:2].tolist() == [-1, -1]
    assert (model.prototypes.source_index >= 0).any()
    assert not model.relevance[:, :2].any()
