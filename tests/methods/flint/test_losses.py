"""FLINT's terms against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math

import pytest
import torch

from methods.flint.small_models import make
from models import batch
from resemblance.methods.flint.chosen_setting import choose_setting
from resemblance.methods.flint.config import SETTINGS, FLINTConfig
from resemblance.methods.flint.model import conciseness, diversity, entropy


def plain_entropy(values):
    """Compute the entropy of softmax(|v|), term by term."""
    total = sum(math.exp(abs(v)) for v in values)
    return -sum(math.exp(abs(v)) / total * math.log(math.exp(abs(v)) / total) for v in values)


def test_entropies_have_the_fact_sheets_values():
    attributes = torch.tensor([[math.log(3), 0.0], [0.0, -math.log(3)]])
    assert entropy(attributes).tolist() == pytest.approx([0.562335, 0.562335], abs=1e-6)
    assert diversity(attributes).item() == pytest.approx(-0.693147, abs=1e-6)
    assert (conciseness(attributes) + diversity(attributes)).item() == pytest.approx(-0.130812, abs=1e-6)
    assert attributes.abs().mean().item() == pytest.approx(0.549306, abs=1e-6)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize(
    ("encoder", "channels", "squared"), [("mnist", 1, True), ("resnet", 1, True), ("resnet", 3, False)]
)
def test_loss_is_the_plain_one(variant, encoder, channels, squared):
    model = make(3, (9, 8), channels, encoder=encoder, variant=variant).eval()
    images, labels = batch(model)
    squared = squared or variant == "paper"
    with torch.no_grad():
        terms = model.loss(model(images), labels)
        inputs = (images - 0.5) / 0.25 if channels == 3 else images
        logits, taps = model.predictor(inputs)
        attributes = model.attributes(taps)
        decoded = model.decoder(attributes)
        scores = attributes @ model.interpreter.weight.T + model.interpreter.bias
    weights = SETTINGS["mnist" if encoder == "mnist" else "quickdraw" if channels == 1 else "cifar"]
    f, g, phi = logits.double().tolist(), scores.double().tolist(), attributes.double().tolist()
    prediction = output = sparsity = concise = 0.0
    for row, label in enumerate(labels.tolist()):
        f_norm, g_norm = (math.log(sum(math.exp(v) for v in values[row])) for values in (f, g))
        prediction -= f[row][label] - f_norm
        for c in range(3):
            output -= math.exp(f[row][c] - f_norm) * (g[row][c] - g_norm)
        sparsity += sum(abs(v) for v in phi[row]) / len(phi[row])
        concise += plain_entropy(phi[row])
    errors = (decoded.double() - inputs.double()).flatten().tolist()
    mean = [sum(abs(row[j]) for row in phi) / len(phi) for j in range(len(phi[0]))]
    expected = {
        "prediction": prediction / 4,
        "input_fidelity": weights.input_fidelity.weight
        * sum(e * e if squared else abs(e) for e in errors)
        / len(errors),
        "output_fidelity": weights.output_fidelity.weight * output / 4,
        "sparsity": weights.sparsity.weight * sparsity / 4,
        "conciseness": weights.conciseness.weight * concise / 4,
        "diversity": -weights.diversity.weight * plain_entropy(mean),
    }
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=2e-5, abs=1e-6)


def test_weights_can_be_set():
    model = make(
        encoder="mnist", sparsity=0.0, output_fidelity=2.0, prediction=0.25, attributes=4, threshold=0.3
    )
    assert (model.weight("sparsity"), model.weight("output_fidelity"), model.weight("prediction")) == (
        0.0,
        2.0,
        0.25,
    )
    assert len(model.prototypes) == 4
    assert model.setting.threshold == 0.3
    name, setting = choose_setting(FLINTConfig(setting="quickdraw", sparsity=0.6), make().spec)
    assert name == "mnist"
    assert setting.sparsity.at(1 / 12, 12) == pytest.approx(0.04)  # the share of its first step is kept


def test_the_predictor_does_not_follow_the_interpreter():
    model = make().eval()
    images, labels = batch(model)
    model.loss(model(images), labels)["output_fidelity"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.predictor.classifier.parameters())
    assert model.predictor.features[0].weight.grad.any()  # through the tapped layer
    assert model.interpreter.weight.grad.any()


def test_diversity_is_over_the_batches_of_all_processes(monkeypatch):
    model = make().eval()
    images, labels = batch(model, 6)
    whole = model.loss(model(images), labels)["diversity"]
    other = model(images[3:]).similarities
    monkeypatch.setattr("resemblance.methods.flint.model.gather", lambda tensor: torch.cat([tensor, other]))
    assert model.loss(model(images[:3]), labels[:3])["diversity"].item() == pytest.approx(whole.item())


def test_training_lowers_the_loss():
    model = make(variant="released", size=(12, 12))
    images, labels = batch(model, 30)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(25):
        loss = sum(model.loss(model(images), labels).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
