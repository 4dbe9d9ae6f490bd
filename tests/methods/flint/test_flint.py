"""FLINT against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import nn

import models
from models import batch
from resemblance.config.errors import UserError
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.core.training_step import TrainingStep
from resemblance.methods.flint.config import SETTINGS, FLINTConfig
from resemblance.methods.flint.model import conciseness, diversity, entropy, settle
from resemblance.methods.flint.networks import Decoder

make = partial(models.make, "flint")


def plain_entropy(values):
    """Of softmax(|v|), term by term."""
    total = sum(math.exp(abs(v)) for v in values)
    return -sum(math.exp(abs(v)) / total * math.log(math.exp(abs(v)) / total) for v in values)


def test_entropies_have_the_fact_sheets_values():
    attributes = torch.tensor([[math.log(3), 0.0], [0.0, -math.log(3)]])
    assert entropy(attributes).tolist() == pytest.approx([0.562335, 0.562335], abs=1e-6)
    assert diversity(attributes).item() == pytest.approx(-0.693147, abs=1e-6)
    assert (conciseness(attributes) + diversity(attributes)).item() == pytest.approx(-0.130812, abs=1e-6)
    assert attributes.abs().mean().item() == pytest.approx(0.549306, abs=1e-6)


# Weights by epoch as in the fact sheet: input fidelity, output fidelity, sparsity, entropies.
SCHEDULES = {
    "mnist": {
        1: (0.8, 0, 0, 0),
        2: (0.8, 0, 0, 0),
        3: (0.8, 0.5, 0.1, 0),
        4: (0.8, 0.5, 0.1, 0),
        5: (0.8, 0.5, 0.1, 0.2),
    },
    "quickdraw": {
        1: (5, 0, 0, 0),
        2: (5, 0, 0.02, 0),
        3: (5, 0.1, 0.3, 0),
        4: (5, 0.1, 0.3, 0.1),
        12: (5, 0.1, 0.3, 0.1),
    },
    "cifar": {
        1: (2, 0, 0, 0),
        2: (2, 0, 0.001, 0),
        3: (2, 0.6, 0.15, 0),
        4: (2, 0.6, 0.15, 0.2),
        18: (2, 0.6, 0.15, 0.2),
    },
    "kmex": {1: (0.8, 0, 0, 0), 3: (0.8, 1, 0.1, 0), 5: (0.8, 1, 0.1, 0.2)},
}


@pytest.mark.parametrize("setting", SCHEDULES)
def test_terms_come_in_at_the_epochs_of_the_schedule(setting):
    model = make(encoder="mnist", setting=setting).train()
    stage = model.recipe().stages[0]
    for epoch, expected in SCHEDULES[setting].items():
        for step in (0, 6):  # all through the epoch
            model.before_step(TrainingStep(stage.name, epoch - 1, stage.epochs, 0, step, 7))
            found = [model.weight(name) for name in ("input_fidelity", "output_fidelity", "sparsity")]
            found += [model.weight("conciseness"), model.weight("diversity")]
            assert found == pytest.approx([*expected, expected[-1]])
            assert model.weight("prediction") == (0.8 if setting == "kmex" else 1.0)


def test_a_shorter_training_has_all_terms_at_the_same_shares_of_it():
    model = make(encoder="mnist").train()
    weights = []
    for epoch in range(3):  # instead of 12: terms come in at 2/12 and 4/12
        for step in range(4):
            model.before_step(TrainingStep("train", epoch, 3, 0, step, 4))
            weights.append((model.weight("output_fidelity"), model.weight("diversity")))
    assert weights == [(0, 0)] * 2 + [(0.5, 0)] * 2 + [(0.5, 0.2)] * 8


def test_all_terms_are_on_in_evaluation_and_after_the_first_stage():
    model = make(size=(9, 9), channels=3, encoder="resnet").train()
    assert [stage.epochs for stage in model.recipe().stages] == [18, 7]
    model.before_step(TrainingStep("train", 0, 18, 0, 0, 5))
    assert model.weight("diversity") == 0
    model.before_step(TrainingStep("slower", 0, 7, 18, 0, 5))
    assert model.weight("diversity") == 0.2
    model.before_step(TrainingStep("train", 0, 18, 0, 0, 5))
    assert model.eval().weight("diversity") == 0.2


def test_recipe_is_the_papers():
    recipe = make(10).recipe()
    (stage,) = recipe.stages
    assert (stage.epochs, stage.optimizer, stage.end) == (12, "adam", ("relevance", "usage"))
    assert (recipe.batch_size, recipe.augment) == (16, "none")
    assert {(group.lr, group.weight_decay) for group in stage.groups.values()} == {(1e-4, 0.0)}
    first, second = make(10, (32, 32), 3).recipe().stages
    assert (first.epochs, first.end, first.fresh) == (18, (), False)
    assert (second.epochs, second.end, second.fresh) == (7, ("relevance", "usage"), True)
    assert {group.lr for group in second.groups.values()} == {4e-5}
    for model in (make(), make(encoder="small")):
        groups = model.parameter_groups()
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert sum(len(group) for group in groups.values()) == len(trained)


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_architecture_for_mnist():
    model = make(10)
    assert kinds(model.predictor.features) == ["Conv2d", "ReLU", "Conv2d", "MaxPool2d", "Dropout", "ReLU"]
    assert kinds(model.predictor.classifier) == ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["predictor.features.0.weight"] == (16, 1, 3, 3)
    assert shapes["predictor.features.2.weight"] == (32, 16, 3, 3)
    assert shapes["predictor.classifier.1.weight"] == (128, 6272)
    assert shapes["attributes.convolutions.0.weight"] == (64, 32, 3, 3)
    assert shapes["attributes.linear.weight"] == (25, 576)
    assert shapes["decoder.linear.weight"] == (98, 25)
    assert shapes["decoder.layers.0.weight"] == (2, 8, 3, 3)
    assert shapes["decoder.layers.2.weight"] == (8, 1, 3, 3)
    assert shapes["interpreter.weight"] == (10, 25)
    assert kinds(model.decoder.layers) == ["ConvTranspose2d", "ReLU", "ConvTranspose2d", "ReLU"]
    assert model.dropout.p == 0.01
    logits, taps = model.eval().predictor(batch(model)[0])
    assert logits.shape == (4, 10)
    assert [tuple(tap.shape) for tap in taps] == [(4, 32, 14, 14)]


@pytest.mark.parametrize(
    ("channels", "size", "count", "start", "dense"),
    [(1, 28, 24, 98, (784, 6272)), (3, 32, 36, 640, (3072, 8192))],
)
def test_architecture_for_quickdraw_and_cifar(channels, size, count, start, dense):
    model = make(10, (size, size), channels, encoder="resnet").eval()
    convolutions = [layer for layer in model.predictor.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 1 + 16 + 3  # stem, eight blocks, three shortcuts
    assert all(layer.bias is None for layer in convolutions)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert model.attributes.linear.weight.shape == (count, 576)
    assert model.decoder.linear.weight.shape == (start, count)
    assert model.decoder.layers[5].weight.shape == dense
    assert isinstance(model.decoder.layers[6], nn.ReLU if channels == 1 else nn.Identity)
    with torch.no_grad():
        logits, taps = model.predictor(batch(model, 1)[0])
    assert logits.shape == (1, 10)
    side = size // 4
    assert [tuple(tap.shape) for tap in taps] == [
        (1, 256, side, side),
        (1, 512, (side + 1) // 2, (side + 1) // 2),
    ]


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((33, 47), 3), ((8, 9), 1), ((61, 64), 3)])
@pytest.mark.parametrize("encoder", ["mnist", "resnet", "small"])
def test_reconstructions_have_the_images_size(encoder, size, channels):
    model = make(2, size, channels, encoder=encoder).eval()
    images, _ = batch(model, 2)
    back = model.reconstruct(images)
    assert back.shape == images.shape
    assert 0 <= back.min() <= back.max() <= 1


def test_a_decoder_for_large_images_starts_small():
    decoder = Decoder(5, ImageSpec(224, 200, 3, (0,) * 3, (1,) * 3), (8, 8, 8, 8, 8, 3), False, nn.Identity())
    assert decoder.shape == (8, 7, 7)
    assert decoder(torch.rand(1, 5)).shape == (1, 3, 224, 200)


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
    name, setting = settle(FLINTConfig(setting="quickdraw", sparsity=0.6), make().spec)
    assert name == "mnist"
    assert setting.sparsity.at(1 / 12, 12) == pytest.approx(0.04)  # its first step keeps its share


@pytest.mark.parametrize(
    ("size", "channels", "name", "count"),
    [((28, 28), 1, "mnist", 25), ((32, 32), 3, "resnet", 36), ((64, 64), 3, "resnet18", 20)],
)
def test_predictor_and_setting_follow_the_images(size, channels, name, count):
    spec = ModelSpec(tuple("abcd"), ImageSpec(*size, channels, (0.5,) * channels, (0.2,) * channels))
    found, setting = settle(FLINTConfig(), spec)
    assert (found, setting.attributes) == (name, count)


def test_attributes_are_not_negative_unless_released():
    paper, released = make().eval(), make(variant="released").eval()
    images, _ = batch(paper, 16)
    found, theirs = paper(images).similarities, released(images).similarities
    assert theirs.min() < 0 <= found.min()
    assert torch.equal(found, theirs.abs())
    small = make(encoder="small").eval()
    assert small(images).similarities.min() == 0


def test_the_interpreter_answers_and_the_predictor_is_measured_beside_it():
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
    found = model.also_measured(output, torch.tensor([0, 1, 3, 3] * 3))
    assert found["accuracy of the predictor"].float().mean() == 0.5
    assert found["fidelity"].float().mean() == 0.75


def test_evidence_adds_up_in_training_too():
    model = make().train()
    model.dropout.p = 0.5
    images, labels = batch(model, 8)
    output = model(images)
    evidence = model.evidence(output, labels)
    total = evidence.contributions.sum(1) + evidence.bias
    assert torch.allclose(total, output.scores.gather(1, labels[:, None])[:, 0], atol=1e-6)


def test_the_predictor_is_not_held_to_the_interpreter():
    model = make().eval()
    images, labels = batch(model)
    model.loss(model(images), labels)["output_fidelity"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.predictor.classifier.parameters())
    assert model.predictor.features[0].weight.grad.any()  # by the layer that is tapped
    assert model.interpreter.weight.grad.any()


def test_diversity_is_over_the_batches_of_all_processes(monkeypatch):
    model = make().eval()
    images, labels = batch(model, 6)
    whole = model.loss(model(images), labels)["diversity"]
    other = model(images[3:]).similarities
    monkeypatch.setattr("resemblance.methods.flint.model.gather", lambda mine: torch.cat([mine, other]))
    assert model.loss(model(images[:3]), labels[:3])["diversity"].item() == pytest.approx(whole.item())


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"attributes": 0}, "--attributes must be at least 1"),
        ({"sparsity": -1.0}, "--sparsity must be at least 0"),
        ({"setting": "cub"}, "--setting: .cub. is not one of auto, mnist"),
        ({"encoder": "mnist", "weights": "pretrained"}, "no pretrained weights for --encoder mnist"),
        ({"encoder": "resnet", "weights": "file.pth"}, "--encoder resnet takes neither --weights nor --cut"),
        ({"encoder": "mnist", "size": (3, 28)}, "4 to 256 pixels"),
        ({"encoder": "resnet", "size": (28, 7)}, "at least 8 pixels"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(wrong, message):
    with pytest.raises(UserError, match=message) as error:
        make(**wrong)
    assert "\n" not in str(error.value)


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


def test_training_has_two_stages_and_ends_with_relevances(trained):
    model, result, _ = trained("flint")
    assert [row["stage"] for row in result.history].count("slower") == 1
    assert model.relevance.any()
    assert torch.equal(model.prototypes.owners, (model.relevance > model.setting.threshold).T)
