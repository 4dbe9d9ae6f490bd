"""Scores and leaves, compared with the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math

import pytest
import torch

from methods.prototree.small_models import STEP, by_hand, make, scattered
from resemblance.core.training_step import TrainingStep
from resemblance.methods.prototree.presence import distance, log_absence, presence


def test_a_distance_of_ln_2_goes_right_with_one_half():
    assert presence(torch.tensor(math.log(2) ** 2)).item() == pytest.approx(0.5)
    assert log_absence(torch.tensor(math.log(2))).exp().item() == pytest.approx(0.5, abs=1e-6)


def test_the_leaf_step():
    """Update with depth 1, p = .5, leaves (0, 0) and (ln 3, 0), y = 0, B = 2 and equal c_old."""
    model, output = by_hand([[0.5]], [[0.0, 0.0], [math.log(3), 0.0]])
    labels = torch.tensor([0])
    assert output.extras["mixture"][0, 0].item() == pytest.approx(0.625)
    model.before_step(STEP)
    model.update_without_grad(output, labels)
    model.after_step()
    assert model.counts[:, 0].tolist() == pytest.approx([0.4, 1.1493], abs=1e-4)
    assert model.counts[:, 1].tolist() == [0, 0]


@pytest.mark.parametrize(("variant", "expected"), [("paper", 0.4), ("released", 1.0873)])
def test_the_released_root_makes_the_update_e_times_too_large(variant, expected):
    model, output = by_hand([[0.5]], [[0.0, 0.0], [math.log(3), 0.0]], log=True)
    model.config.variant = variant
    model.before_step(STEP)
    model.update_without_grad(output, torch.tensor([0]))
    model.after_step()
    assert model.counts[0, 0].item() == pytest.approx(expected, abs=1e-4)


def test_sample_max_and_greedy_may_differ():
    model, output = by_hand([[0.6, 0.9, 0.5]], [[0.0, 0.0]] * 4)
    paths = output.extras["paths"]
    assert model._leaf("sample_max", output.similarities, paths).item() == 1
    assert paths[0, 1].item() == pytest.approx(0.36)
    assert model._leaf("greedy", output.similarities, paths).item() == 2


def test_an_epoch_adds_one_per_image_to_the_counts():
    model = make()
    images, labels = torch.rand(12, 1, 16, 16), torch.arange(12) % 3
    for step in range(3):
        model.before_step(TrainingStep("all", 0, 1, 0, step, 3))
        part = slice(4 * step, 4 * step + 4)
        model.update_without_grad(model(images[part]), labels[part])
        model.after_step()
    assert model.counts.sum().item() == pytest.approx(12, rel=1e-5)
    assert torch.equal(model.counts_before, torch.zeros_like(model.counts))


# A plain re-implementation.


def plain_answer(model, images):
    """Compute the paper's presences, path probabilities and class probabilities in loops, in float64."""
    latents = model.latents(images).detach().double()
    vectors, leaves = model.prototypes.vectors.detach().double(), model.counts.detach().double().softmax(1)
    height, width = vectors.shape[2:]
    present, paths = [], []
    for z in latents:
        presences = []
        for p in vectors:
            best = math.inf
            for y in range(z.shape[1] - height + 1):
                for x in range(z.shape[2] - width + 1):
                    best = min(best, (z[:, y : y + height, x : x + width] - p).square().sum().sqrt().item())
            presences.append(math.exp(-best))
        present.append(presences)
        products = []
        for nodes, turns in zip(model.tree.ancestors.tolist(), model.tree.present.tolist(), strict=True):
            product = 1.0
            for node, right in zip(nodes, turns, strict=True):
                if node >= 0:
                    product *= presences[node] if right else 1 - presences[node]
            products.append(product)
        paths.append(products)
    paths = torch.tensor(paths, dtype=torch.float64)
    return torch.tensor(present), paths, paths @ leaves


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"log_probabilities": True},
        {"prototype_height": 2, "prototype_width": 3},
        {"leaves": "trained"},
    ],
)
def test_scores_agree_with_the_formulas(config):
    model = scattered(make(**config))
    images, labels = torch.rand(3, 1, 16, 16), torch.tensor([0, 2, 1])
    output = model(images)
    present, paths, scores = plain_answer(model, images)
    assert torch.allclose(output.similarities, present, rtol=1e-4)
    assert torch.allclose(output.extras["paths"].double(), paths, rtol=1e-4)
    assert torch.allclose(output.scores.double(), scores, rtol=1e-4)
    expected = -sum(math.log(scores[row, label]) for row, label in enumerate(labels.tolist())) / 3
    assert model.loss(output, labels)["nll"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("log", [False, True])
def test_the_leaf_update_agrees_with_the_formula(log):
    model = scattered(make(log_probabilities=log))
    images, labels = torch.rand(5, 1, 16, 16), torch.tensor([0, 2, 1, 1, 0])
    before = model.counts.double().clone()
    old = torch.rand(before.shape)
    _, paths, scores = plain_answer(model, images)
    leaves = before.softmax(1)
    expected = torch.zeros_like(before)
    for leaf in range(len(before)):
        for c in range(3):
            sums = sum(paths[x, leaf] * leaves[leaf, c] / scores[x, c] for x in range(5) if labels[x] == c)
            expected[leaf, c] = max(before[leaf, c] - old[leaf, c].double() / 4, 0) + sums
    for batch, micro in ((slice(0, 2), 0), (slice(2, 5), 1)):  # gradients are accumulated
        model.before_step(TrainingStep("all", 0, 1, 0, 1, 4, micro))
        if micro == 0:
            model.counts_before.copy_(old)
        model.update_without_grad(model(images[batch]), labels[batch])
    model.after_step()
    assert torch.allclose(model.counts.double(), expected, rtol=1e-4, atol=1e-6)


def test_log_probabilities_give_the_same_scores():
    model, log = scattered(make()), scattered(make(log_probabilities=True))
    images, labels = torch.rand(3, 1, 16, 16), torch.tensor([0, 2, 1])
    one, other = model(images), log(images)
    assert torch.allclose(one.scores, other.scores, atol=1e-6)
    assert model.loss(one, labels)["nll"].item() == pytest.approx(
        log.loss(other, labels)["nll"].item(), rel=1e-5
    )


def test_impossible_labels_leave_loss_and_gradients_finite():
    """The softmax of the leaves is exactly 0 for the other classes, and one prototype equals a patch."""
    for log in (False, True):
        model = make(log_probabilities=log).train()
        images = torch.rand(2, 1, 16, 16)
        with torch.no_grad():
            model.counts[:, 0] = 1e4
            model.prototypes.vectors.copy_(model.latents(images)[:1, :, :1, :1])
        output = model(images)
        loss = model.loss(output, torch.tensor([1, 2]))["nll"]
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        model.before_step(STEP)
        with torch.no_grad():
            model.update_without_grad(output, torch.tensor([1, 2]))
        assert model._update.isfinite().all()


def test_the_gradient_of_a_distance_is_bounded():
    squared = torch.zeros(1, requires_grad=True)
    difference = torch.tensor([1e-5], requires_grad=True)
    distance(difference.square() + squared).sum().backward()
    assert difference.grad.item() == pytest.approx(1.0, abs=1e-2)
