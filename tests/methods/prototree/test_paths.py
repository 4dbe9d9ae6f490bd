"""Inference with one leaf, and paths as reasons."""

from __future__ import annotations

import json
import math

import pytest
import torch

from methods.prototree.small_models import by_hand, make, scattered


@pytest.mark.parametrize("inference", ["sample_max", "greedy"])
def test_with_one_leaf_there_is_one_reason(inference):
    model = scattered(make(inference=inference))
    images = torch.rand(4, 1, 16, 16)
    output = model(images)
    distributed = scattered(make())(images)
    leaf = model._leaf(inference, distributed.similarities, distributed.extras["paths"])
    assert torch.allclose(output.scores, model.counts.softmax(1)[leaf])
    labels = torch.arange(4) % 3
    assert torch.equal(model.loss(output, labels)["nll"], scattered(make()).loss(distributed, labels)["nll"])
    explanation = model.explain(images[0])
    assert len(explanation.reasons) == 1
    assert explanation.share == 1
    assert "alone answers" in str(explanation)
    evidence = model.evidence(output, output.scores.argmax(1))
    assert ((evidence.contributions != 0).sum(1) == 1).all()
    assert torch.allclose(model.train()(images).scores, model.train()(images).extras["mixture"])


def test_fidelity_is_agreement_with_the_prediction():
    model = scattered(make(depth=4))
    images, labels = torch.rand(16, 1, 16, 16), torch.arange(16) % 3
    output = model(images)
    metrics = model.extra_metrics(output, labels)
    assert list(metrics) == [
        "sample_max accuracy",
        "sample_max fidelity",
        "greedy accuracy",
        "greedy fidelity",
    ]
    greedy = scattered(make(depth=4, inference="greedy"))(images).scores.argmax(1)
    assert torch.equal(metrics["greedy fidelity"], greedy == output.scores.argmax(1))
    assert torch.equal(metrics["greedy accuracy"], greedy == labels)
    other = scattered(make(depth=4, inference="greedy"))
    metrics = other.extra_metrics(other(images), labels)
    assert torch.equal(metrics["distributed fidelity"], greedy == output.scores.argmax(1))


# Explanations.


def test_a_reason_is_a_path():
    model = scattered(make())
    image = torch.rand(1, 16, 16)
    explanation = model.explain(image, top=None, label=1)
    output = model(image[None])
    weights = model.counts.softmax(1)[:, explanation.prediction]
    assert explanation.breakdown.adds_up
    paths = dict(zip(map(str, _paths(model)), range(8), strict=True))
    for reason in explanation.reasons:
        leaf = paths[str([(step.prototype.index, step.present) for step in reason.steps])]
        assert reason.similarity == pytest.approx(output.extras["paths"][0, leaf].item())
        assert reason.weight == pytest.approx(weights[leaf].item())
        assert reason.contribution == pytest.approx(reason.similarity * reason.weight, rel=1e-5)
        assert math.prod(step.probability for step in reason.steps) == pytest.approx(
            reason.similarity, rel=1e-4
        )
        assert reason.prototype.index == reason.steps[-1].prototype.index
        assert all(step.heat.shape == (16, 16) for step in reason.steps)
    record = json.loads(json.dumps(explanation.to_dict()))
    first = record["breakdowns"][0]["reasons"][0]
    assert [step["present"] for step in first["steps"]] == [
        step.present for step in explanation.reasons[0].steps
    ]
    text = str(explanation)
    assert "path 1: " in text
    assert "has part" in text
    assert "lacks part" in text
    html = explanation._repr_html_()
    assert "has this part" in html
    assert "lacks this part" in html
    assert explanation.plot().get_size_inches()[0] > 7


def _paths(model):
    for nodes, turns in zip(model.tree.ancestors.tolist(), model.tree.present.tolist(), strict=True):
        yield [(node, turn) for node, turn in zip(nodes, turns, strict=True) if node >= 0]


def test_chosen_prototypes_select_the_paths_through_them():
    model = scattered(make())
    explanation = model.explain(torch.rand(1, 16, 16), prototypes=[2], top=3)
    assert len(explanation.reasons) == 3
    assert all(2 in [step.prototype.index for step in reason.steps] for reason in explanation.reasons)


def test_paths_with_tiny_probabilities_are_counted_with_the_others():
    model, output = by_hand([[0.5, 0.5, 1e-4]], [[5.0, 0.0]] * 4)
    from resemblance.explain.selection import select

    shown = select(model, output, torch.tensor([0]), None, None).shown[0]
    assert sorted(shown.tolist()) == [0, 1, 2]
