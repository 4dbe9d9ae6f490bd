"""SENN: the networks of the fact sheet, the penalty against a plain one, both variants, what concepts stand for."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import models
from resemblance.config.errors import UserError
from resemblance.data import ArraySource, ImageDataset, loader
from resemblance.methods.senn.conceptizer import cells
from resemblance.methods.senn.model import row_gradients
from resemblance.training.ends.concepts import find_concepts, strongest
from resemblance.training.ends.usage import count_usage

MEAN, STD = 0.1307, 0.3081


make = partial(models.make, "senn", mean=MEAN, std=STD)


batch = partial(models.batch, seed=1)


def source(model, count=40, seed=0):
    generator = np.random.default_rng(seed)
    image = model.spec.image
    array = generator.integers(0, 256, (count, *image.size, image.channels), dtype=np.uint8)
    return ArraySource(array, generator.integers(0, model.spec.num_classes, count), model.spec.classes)


# A plain re-implementation, layer by layer and class by class.


def plain_networks(model, x):
    """h (B, K), θ (B, K, C) and the decoder's answer for standardised images, in evaluation mode."""
    w = dict(model.named_parameters())

    def of(module, number):
        return w[f"{module}.{number}.weight"], w[f"{module}.{number}.bias"]

    maps = F.relu(F.max_pool2d(F.conv2d(x, *of("conceptizer.encoder", 0)), 2))
    maps = F.relu(F.max_pool2d(F.conv2d(maps, *of("conceptizer.encoder", 3)), 2))
    weight, bias = of("conceptizer.encoder", 7)
    h = torch.stack([(maps[:, i].flatten(1) @ weight[0]) + bias for i in range(maps.shape[1])], 1)
    code = torch.stack([h[:, i : i + 1] * w["conceptizer.spread.weight"].T for i in range(h.shape[1])], 1)
    code = (code + w["conceptizer.spread.bias"]).view_as(maps)
    back = F.relu(F.conv_transpose2d(code, *of("conceptizer.decoder", 0), stride=2))
    back = F.relu(F.conv_transpose2d(back, *of("conceptizer.decoder", 2)))
    back = torch.tanh(F.conv_transpose2d(back, *of("conceptizer.decoder", 4), stride=2, padding=1))
    y = F.relu(F.max_pool2d(F.conv2d(x, *of("parametrizer", 0)), 2))
    y = F.relu(F.max_pool2d(F.conv2d(y, *of("parametrizer", 3)), 2))
    theta = torch.tanh(F.linear(y.flatten(1), *of("parametrizer", 8)))
    return h, theta.view(len(x), h.shape[1], -1), back


def jacobian(outputs, x, b):
    """Rows of derivatives of the outputs (R,) of image b with respect to its pixels."""
    return torch.stack([torch.autograd.grad(o, x, create_graph=True)[0][b].flatten() for o in outputs])


def plain_terms(model, images, labels, released):
    """The loss with J_x f − θᵀ J_x h taken literally, image by image and class by class."""
    x = ((images - MEAN) / STD).requires_grad_()
    h, theta, back = plain_networks(model, x)
    f = torch.stack([(theta[:, :, c] * h).sum(1) for c in range(theta.shape[2])], dim=1)
    answer = f.log_softmax(1) if released else f
    norms = []
    for b in range(len(x)):
        difference = jacobian(answer[b], x, b) - theta[b].T @ jacobian(h[b], x, b)
        norms.append(difference.square().sum().sqrt())
    terms = {"cross_entropy": -torch.stack([f[b].log_softmax(0)[labels[b]] for b in range(len(x))]).mean()}
    if released:
        terms["robustness"] = 0.01 * torch.stack(norms).square().sum().sqrt()
        return terms
    terms["robustness"] = 0.01 * torch.stack(norms).mean()
    terms["reconstruction"] = ((back + 1) / 2 - images).square().mean()
    terms["sparsity"] = 1e-4 * h.abs().sum() / len(x)
    return terms


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_plain_one_with_its_gradients(variant, channels):
    model = make(4, concepts=3, channels=channels, variant=variant, size=20, dropout=0.0)
    model.train()
    model.parametrizer[4].p = 0.0
    images, labels = batch(model, 3)
    terms = model.loss(model(images), labels)
    plain = plain_terms(model, images, labels, variant == "released")
    assert terms.keys() == plain.keys()
    for name, term in terms.items():
        assert term.item() == pytest.approx(plain[name].item(), rel=1e-5), name
    parameters = [p for group in model.parameter_groups().values() for p in group]
    mine = torch.autograd.grad(sum(terms.values()), parameters)
    theirs = torch.autograd.grad(sum(plain.values()), parameters)
    for found, expected in zip(mine, theirs, strict=True):
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-6)
    # The penalty alone: it also reaches the concepts, whose h weighs the relevances' gradients.
    encoder = list(model.conceptizer.encoder.parameters())
    mine = torch.autograd.grad(model.loss(model(images), labels)["robustness"], encoder)
    plain = plain_terms(model, images, labels, variant == "released")["robustness"]
    assert all(gradient.abs().max() > 0 for gradient in mine)
    for found, expected in zip(mine, torch.autograd.grad(plain, encoder), strict=True):
        assert torch.allclose(found, expected, rtol=1e-3, atol=1e-7)


def test_networks_are_the_fact_sheets():
    model = make(10).eval()
    assert (cells(28), cells(32)) == (4, 5)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    assert shapes["conceptizer.encoder.0.weight"] == (10, 1, 5, 5)
    assert shapes["conceptizer.encoder.3.weight"] == (20, 10, 5, 5)
    assert shapes["conceptizer.encoder.7.weight"] == (1, 16)
    assert shapes["conceptizer.spread.weight"] == (16, 1)
    assert shapes["conceptizer.decoder.0.weight"] == (20, 16, 5, 5)
    assert shapes["conceptizer.decoder.2.weight"] == (16, 8, 5, 5)
    assert shapes["conceptizer.decoder.4.weight"] == (8, 1, 2, 2)
    assert shapes["parametrizer.0.weight"] == (10, 1, 5, 5)
    assert shapes["parametrizer.3.weight"] == (20, 10, 5, 5)
    assert shapes["parametrizer.8.weight"] == (200, 320)
    assert model.parametrizer[4].p == model.config.dropout == 0.5
    images, _ = batch(model, 6)
    output = model(images)
    h, theta, back = plain_networks(model, (images - MEAN) / STD)
    assert torch.allclose(output.similarities, h, atol=1e-5)
    assert torch.allclose(output.extras["theta"], theta, atol=1e-5)
    assert torch.allclose(model.reconstruct(images), (back + 1) / 2, atol=1e-5)
    assert output.extras["theta"].abs().max() < 1
    released = make(10, variant="released").eval()
    assert torch.allclose(released.reconstruct(images), (back * STD + MEAN).clamp(0, 1), atol=1e-5)
    assert make(32, size=32, channels=3).conceptizer.grid == (5, 5)


def test_contributions_are_concept_times_relevance():
    model = make(5, concepts=7).eval()
    images, _ = batch(model, 6)
    output = model(images)
    classes = torch.tensor([0, 4, 2, 2, 1, 3])
    evidence = model.evidence(output, classes)
    for b, c in enumerate(classes.tolist()):
        for i in range(7):
            product = output.similarities[b, i] * output.extras["theta"][b, i, c]
            assert evidence.contributions[b, i] == product
    assert evidence.bias.abs().max() == 0
    assert not model.prototypes.owners.any()
    assert (make(10, concepts=3, positive=True).eval()(images).extras["theta"] > 0).all()


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_the_loss_is_taken_again_where_gradients_were_off(variant):
    model = make(10, variant=variant, dropout=0.0).eval()
    images, labels = batch(model, 6)
    x = images.clone()
    expected = model.loss(model(x), labels)["robustness"]
    assert expected.requires_grad
    with torch.no_grad():
        assert model.loss(model(images), labels)["robustness"].item() == expected.item()
    with torch.inference_mode():
        found = model.loss(model(images.clone()), labels)["robustness"]
        assert found.item() == expected.item()
    model.train()
    model.parametrizer[4].p = 0.0
    found = model.loss(model(images), labels)["robustness"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    wanted = images.clone().requires_grad_()
    output = model(wanted)
    assert model.loss(output, labels)["robustness"].item() == pytest.approx(expected.item(), rel=1e-6)
    output.scores.sum().backward()
    assert wanted.grad.abs().max() > 0


def test_both_ways_of_taking_gradients_agree():
    model = make(4).train()
    images, _ = batch(model, 6)
    output = model(images)
    rows = torch.randn(3, len(images), 4)
    x = output.extras["x_theta"]
    one, other = (
        row_gradients(output.scores, x, rows, create_graph=True, batched=batched) for batched in (True, False)
    )
    assert torch.allclose(one, other, atol=1e-7)
    weight = model.parametrizer[0].weight
    first, second = (
        torch.autograd.grad(g.square().sum(), weight, retain_graph=True)[0] for g in (one, other)
    )
    assert torch.allclose(first, second, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_random_directions_estimate_the_squared_penalty_without_bias(variant):
    model = make(5, concepts=4, size=16, variant=variant, dropout=0.0).train()
    model.parametrizer[4].p = 0.0
    images, _ = batch(model, 1)
    exact = model.penalty(model(images)).item() ** 2
    model.config.directions = 2
    torch.manual_seed(0)
    squares = np.array([model.penalty(model(images)).item() ** 2 for _ in range(100)])
    error = squares.std() / np.sqrt(len(squares))
    assert 0 < error < 0.1 * exact
    assert abs(squares.mean() - exact) < 4 * error


def test_directions_are_those_of_the_step_in_training_and_fixed_in_evaluation():
    model = make(30, concepts=4)  # beyond 20 classes, estimated by default
    images, labels = batch(model, 6)
    assert len(model._rows(torch.zeros(2, 30))[0]) == 10
    assert len(make(20, concepts=4)._rows(torch.zeros(2, 20))[0]) == 20
    model.config.directions = 0
    assert len(model._rows(torch.zeros(2, 30))[0]) == 30
    model.config.directions = 3
    model.train()
    assert not torch.equal(model._rows(torch.zeros(2, 30))[0], model._rows(torch.zeros(2, 30))[0])
    model.eval()
    state = torch.get_rng_state()
    first, second = (model.loss(model(images), labels)["robustness"].item() for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)


def test_released_without_penalty_has_the_terms_that_the_penalty_drops():
    model = make(10, variant="released", robustness=0.0).eval()
    images, labels = batch(model, 6)
    terms = model.loss(model(images), labels)
    x = (images - MEAN) / STD
    h, _, back = plain_networks(model, x)
    assert list(terms) == ["cross_entropy", "reconstruction", "sparsity"]
    assert terms["reconstruction"].item() == pytest.approx((back - x).square().mean().item(), rel=1e-5)
    assert terms["sparsity"].item() == pytest.approx(1e-4 * h.abs().sum().item(), rel=1e-5)
    assert "decoder" in model.parameter_groups()
    assert "decoder" not in make(10, variant="released").parameter_groups()
    paper = make(10, robustness=0.0).eval()
    assert list(paper.loss(paper(images), labels)) == ["cross_entropy", "reconstruction", "sparsity"]


def test_the_released_norm_is_over_the_batches_of_all_processes(monkeypatch):
    model = make(10, variant="released").eval()
    images, labels = batch(model, 6)
    whole = model.loss(model(images), labels)["robustness"]
    halves = [model.loss(model(part), labels[:3])["robustness"].detach() for part in images.split(3)]
    assert whole.item() == pytest.approx(float(torch.stack(halves).norm()), rel=1e-5)
    other = halves[1] / 0.01
    monkeypatch.setattr("resemblance.methods.senn.model.gather", lambda mine: torch.cat([mine, other[None]]))
    assert model.loss(model(images[:3]), labels[:3])["robustness"].item() == pytest.approx(
        whole.item(), rel=1e-5
    )


def test_recipe_is_the_papers():
    model = make(10)
    recipe = model.recipe()
    (stage,) = recipe.stages
    assert (stage.epochs, stage.optimizer, stage.select) == (10, "adam", "best")
    assert stage.end == ("concepts", "usage")
    assert (recipe.batch_size, recipe.augment) == (128, "none")
    assert {(group.lr, group.weight_decay) for group in stage.groups.values()} == {(0.001, 0.0)}
    held = sum(len(group) for group in model.parameter_groups().values())
    assert held == len([p for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("kind", ["vgg8", "vgg11", "vgg16"])
def test_a_vgg_can_be_the_parametrizer(kind):
    model = make(3, concepts=4, size=33, channels=3, parametrizer=kind)
    convolutions = [m for m in model.parametrizer if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == {"vgg8": 5, "vgg11": 8, "vgg16": 13}[kind]
    with pytest.raises(UserError, match="--image-size 32"):
        make(10, size=31, parametrizer=kind)
    if kind != "vgg8":
        return
    model.train()
    images, labels = batch(model, 3)
    sum(model.loss(model(images), labels).values()).backward()
    assert model.parametrizer[0].weight.grad.abs().max() > 0


def test_images_that_are_too_small_or_too_large_are_refused():
    with pytest.raises(UserError, match=r"15x28 pixels.*--image-size 16"):
        make(10, size=(15, 28))
    assert make(10, size=(16, 31)).conceptizer.grid == (1, 4)
    with pytest.raises(UserError, match=r"337,080,000 weights.*--parametrizer vgg8"):
        make(300, size=224)


def test_concepts_are_shown_by_the_images_in_which_they_are_strongest():
    model = make(4, concepts=5)
    images = source(model)
    survey_batches = list(loader(ImageDataset(images, model.spec.image), 7))
    find_concepts(model, survey_batches)
    count_usage(model, survey_batches)
    model.eval()
    with torch.no_grad():
        output = model(torch.cat([part.images for part in survey_batches]))
    h, labels = output.similarities, torch.from_numpy(images.labels)
    for concept in range(5):
        order = sorted(range(len(images)), key=lambda i: -float(h[i, concept]))
        assert model.examples[concept].tolist() == order[:6]
        assert model.prototypes.source_index[concept] == order[0]
    for c in range(4):
        rows = (labels == c).nonzero().flatten()
        mean = torch.stack([h[b] * output.extras["theta"][b, :, c] for b in rows.tolist()]).mean(0)
        assert torch.allclose(model.mean_contributions[c], mean, atol=1e-5)


def test_classes_without_images_and_few_images_leave_gaps():
    model = make(3, concepts=4)
    array = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), dtype=np.uint8)
    find_concepts(
        model, loader(ImageDataset(ArraySource(array, [0, 2], model.spec.classes), model.spec.image), 2)
    )
    assert model.mean_contributions.isnan().all(1).tolist() == [False, True, False]
    assert (model.examples[:, 2:] == -1).all()
    assert sorted(model.examples[0, :2].tolist()) == [0, 1]


def test_ties_between_images_go_to_the_lowest_index():
    values = torch.tensor([[1.0, 5.0], [1.0, 5.0], [2.0, 0.0]])
    indices = torch.tensor([[9, 9], [3, 3], [4, 4]])
    assert strongest(values, indices, 2)[1].T.tolist() == [[4, 3], [3, 9]]


def test_training_lowers_the_loss_and_finds_examples(trained):
    model, result, _ = trained("senn")
    losses = [row["train/loss"] for row in result.history]
    assert losses[-1] < losses[0]
    assert (model.examples >= 0).all()
    assert model.mean_contributions.isfinite().all()
