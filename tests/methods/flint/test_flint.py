"""Attributes, evidence and owners of FLINT."""

from __future__ import annotations

import pytest
import torch

from methods.flint.small_models import make
from models import batch


def test_attributes_are_not_negative_unless_released():
    paper, released = make().eval(), make(variant="released").eval()
    images, _ = batch(paper, 16)
    attributes, signed = paper(images).similarities, released(images).similarities
    assert signed.min() < 0 <= attributes.min()
    assert torch.equal(attributes, signed.abs())
    small = make(encoder="small").eval()
    assert small(images).similarities.min() == 0


def test_scores_are_the_interpreters_and_the_predictor_is_measured_too():
    model = make(4).eval()
    images, labels = batch(model, 12)
    output = model(images)
    logits, taps = model.predictor(images)
    attributes = model.attributes(taps)
    assert torch.allclose(output.similarities, attributes)
    assert torch.allclose(output.extras["predictor"], logits)
    assert torch.allclose(output.scores, model.interpreter(attributes), atol=1e-6)
    evidence = model.evidence(output, labels)
    for row, label in enumerate(labels.tolist()):
        for j in range(25):
            contribution = attributes[row, j] * model.interpreter.weight[label, j]
            assert evidence.contributions[row, j].item() == pytest.approx(contribution.item(), abs=1e-6)
        assert evidence.bias[row] == model.interpreter.bias[label]
    output.scores, output.extras["predictor"] = torch.eye(4).repeat(3, 1), torch.eye(4)[[0, 1, 2, 0] * 3]
    metrics = model.extra_metrics(output, torch.tensor([0, 1, 3, 3] * 3))
    assert metrics["accuracy of the predictor"].float().mean() == 0.5
    assert metrics["fidelity"].float().mean() == 0.75


def test_evidence_adds_up_in_training_too():
    model = make().train()
    model.dropout.p = 0.5
    images, labels = batch(model, 8)
    output = model(images)
    evidence = model.evidence(output, labels)
    total = evidence.contributions.sum(1) + evidence.bias
    assert torch.allclose(total, output.scores.gather(1, labels[:, None])[:, 0], atol=1e-6)


def test_owners_are_the_classes_to_which_an_attribute_is_relevant():
    model = make(3, attributes=4)
    model.assign_owners()
    assert not model.prototypes.owners.any()
    model.relevance.copy_(torch.tensor([[0.9, 0.1, -0.8, 0.0], [0.2, 0.05, 0.0, 0.0], [0.0, 0.11, 0.0, 0.0]]))
    model.assign_owners()
    expected = [[True, True, False], [False, False, True], [False] * 3, [False] * 3]
    assert model.prototypes.owners.tolist() == expected
    assert model.prototypes.owner_names(model.spec.classes)[3] == ()


def test_bfloat16_leaves_the_interpreter_in_float32():
    model = make().eval()
    images, labels = batch(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(images)
        terms = model.loss(output, labels)
    assert output.scores.dtype == output.similarities.dtype == torch.float32
    exact = output.similarities @ model.interpreter.weight.T + model.interpreter.bias
    assert torch.allclose(output.scores, exact, atol=1e-6)
    assert all(term.dtype == torch.float32 for term in terms.values())


def test_training_has_two_stages_and_ends_with_relevances(trained):
    model, result, _ = trained("flint")
    assert [row["stage"] for row in result.history].count("slower") == 1
    assert model.relevance.any()
    assert torch.equal(model.prototypes.owners, (model.relevance > model.setting.threshold).T)
