"""Forward pass and losses against a plain re-implementation."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from methods.protopool.small_models import make
from resemblance.methods.protopool import focal
from resemblance.methods.protopool.focal import nearest_and_mean
from resemblance.prototypes.similarity import log_similarity, squared_distances


@pytest.mark.parametrize("mean", ["similarity", "distance"])
def test_pooling_has_the_gradient_that_the_whole_map_has(mean, monkeypatch):
    monkeypatch.setattr(focal, "BLOCK", 5 * 12 * 2)  # two images at once, of five
    torch.manual_seed(0)
    latents, vectors = torch.rand(5, 6, 3, 4, requires_grad=True), torch.rand(5, 6, 1, 1, requires_grad=True)
    weights = torch.rand(2, 5, 5)
    pooled = nearest_and_mean(latents, vectors, mean)
    distances = squared_distances(latents, vectors).flatten(2)
    averaged = log_similarity(distances) if mean == "similarity" else distances
    expected = (distances.amin(2), averaged.mean(2))
    gradients = []
    for pair in (pooled, expected):
        total = (weights[0] * log_similarity(pair[0]) + weights[1] * pair[1]).sum()
        gradients.append(torch.autograd.grad(total, (latents, vectors)))
    for one, other in zip((*pooled, *gradients[0]), (*expected, *gradients[1]), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def plain_forward(model, images, slots):
    """Compute the formulas in loops; slots (C, K, P)."""
    released, focal_on = model.config.variant == "released", model.config.focal
    latents, vectors = model.latents(images).detach().double(), model.prototypes.vectors.detach().double()

    def g(squared):
        return math.log((squared + 1) / (squared + 1e-4))

    count, (classes, per_class, pool) = len(images), slots.shape
    nearest, scores = torch.zeros(count, pool), torch.zeros(count, classes)
    for b in range(count):
        cells = latents[b].flatten(1).T
        squared = [[(cell - p.flatten()).square().sum().item() for cell in cells] for p in vectors]
        smallest = [min(row) for row in squared]
        nearest[b] = torch.tensor(smallest)
        values = []
        for c in range(classes):
            for k in range(per_class):
                q = slots[c, k].tolist()
                if released:
                    low = sum(w * d for w, d in zip(q, smallest, strict=True))
                    middle = sum(w * sum(row) / len(row) for w, row in zip(q, squared, strict=True))
                    values.append(g(low) - (g(middle) if focal_on else 0))
                else:
                    means = [sum(map(g, row)) / len(row) if focal_on else 0 for row in squared]
                    values.append(sum(w * (g(d) - m) for w, d, m in zip(q, smallest, means, strict=True)))
        scores[b] = torch.tensor(values) @ model.last.weight.detach().T
    return nearest, scores


def plain_losses(model, nearest, scores, labels, slots):
    config = model.config
    of = (model.slots.logits if config.variant == "released" else slots).detach()
    cluster = separation = orthogonal = 0.0
    for b, label in enumerate(labels.tolist()):
        masses = slots[label].sum(0).tolist()
        ranked = sorted(range(len(masses)), key=lambda j: (-masses[j], j))
        cluster += min(nearest[b, j].item() for j in ranked[: config.slots]) / len(labels)
        separation += min(nearest[b, j].item() for j in ranked[config.slots :]) / len(labels)
    for rows in of:
        for i in range(config.slots):
            for j in range(i + 1, config.slots):
                orthogonal += F.cosine_similarity(rows[i], rows[j], dim=0).item()
    other_slots = 0.0
    for c in range(len(of)):
        for slot in range(model.last.weight.shape[1]):
            if slot // config.slots != c:
                other_slots += abs(model.last.weight[c, slot].item())
    return {
        "cross_entropy": F.cross_entropy(scores, labels).item(),
        "cluster": 0.8 * cluster,
        "separation": -0.08 * separation,
        "orthogonality": 2 * orthogonal / (len(of) * config.slots),
        "l1": 1e-4 * other_slots,
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("focal_on", [True, False])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_forward_and_losses_agree_with_a_plain_re_implementation(variant, focal_on, training):
    model = make(variant=variant, focal=focal_on, mixup=False).eval()
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    with torch.no_grad():
        model.last.weight.add_(0.1 * torch.randn(model.last.weight.shape))
        model.slots.logits.mul_(1e-4)  # so similar that the released evaluation mixes distances
    model.training = training  # the encoder's batch norm stays in evaluation mode
    model.scale = 3e4  # soft slots
    output = model(images)
    slots = output.extras["assignment"].detach() if training else model.slots.hard_assignment()
    assert ((slots != 0) & (slots != 1)).any() == (training or variant == "released")
    nearest, scores = plain_forward(model, images, slots)
    assert torch.allclose(output.extras["distances"], nearest, rtol=1e-4, atol=1e-4)
    assert torch.allclose(output.scores, scores, rtol=1e-3, atol=1e-3)
    expected = plain_losses(model, nearest, scores, labels, slots)
    terms = model.loss(output, labels)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected[name], rel=1e-3, abs=1e-6), name


def test_a_pool_as_small_as_the_slots_has_a_separation_of_0():
    model = make(prototypes=2)
    terms = model.loss(model(torch.rand(3, 1, 28, 28)), torch.tensor([0, 1, 2]))
    assert terms["separation"].item() == 0
    assert sum(terms.values()).isfinite()


def test_mixtures_are_of_two_images_and_their_labels():
    model = make().train()
    inputs = {}
    latents = model.latents
    model.latents = lambda images: inputs.update(images=images) or latents(images)
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])
    output = model(images)
    share, partners = output.extras["share"], output.extras["partners"]
    assert 0 < share < 1
    assert torch.allclose(inputs["images"], share * images + (1 - share) * images[partners], atol=1e-6)
    expected = share * F.cross_entropy(output.scores, labels)
    expected += (1 - share) * F.cross_entropy(output.scores, labels[partners])
    terms = model.loss(output, labels)
    assert torch.allclose(terms["cross_entropy"], expected)
    unmixed = replace(output, extras={k: v for k, v in output.extras.items() if k != "partners"})
    assert terms["cluster"] == model.loss(unmixed, labels)["cluster"]
    assert "share" not in model.eval()(images).extras
    assert "share" not in make(mixup=False).train()(images).extras
