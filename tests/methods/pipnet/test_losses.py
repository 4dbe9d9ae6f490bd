"""Presences, scores and losses, compared with the fact sheet's values and loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from methods.pipnet.small_models import make, sharp, step_of
from resemblance.core.output import Output
from resemblance.methods.pipnet.losses import align, logits, shrunk, tanh


def test_agreement_of_the_views():
    one_hot = F.one_hot(torch.tensor([[[0, 2], [1, 1]]]), 3).permute(0, 3, 1, 2).float()
    assert align(one_hot, one_hot).item() == pytest.approx(0, abs=1e-6)
    even = torch.full((1, 2, 3, 3), 0.5)
    assert align(even, even).item() == pytest.approx(0.6931, abs=1e-4)


def test_presence_in_the_batch():
    assert tanh(torch.tensor([2.0, 0.0])).item() == pytest.approx(9.2287, abs=1e-3)


def test_logits_of_the_classification_loss():
    values = logits(torch.tensor([2.0, 0.0]))
    assert values.tolist() == pytest.approx([1.6094, 0.0], abs=1e-4)
    assert values.softmax(0).tolist() == pytest.approx([0.8333, 0.1667], abs=1e-4)
    assert make().probabilities(torch.tensor([[2.0, 0.0]])).tolist()[0] == pytest.approx(
        [0.8333, 0.1667], abs=1e-4
    )


def test_weights_shrink():
    assert shrunk(torch.tensor([0.0005, 0.5])).tolist() == pytest.approx([0, 0.499])


# against loops and the formulas


def plain_forward(z, weights, least=0.0):
    """Compute presences and scores of softmax maps (B, D, H, W) in loops."""
    batch, depth, height, width = z.shape
    presence, scores = torch.zeros(batch, depth), torch.zeros(batch, len(weights))
    for b in range(batch):
        for d in range(depth):
            presence[b, d] = max(z[b, d, y, x].item() for y in range(height) for x in range(width))
        for c in range(len(weights)):
            for d in range(depth):
                if presence[b, d] >= least:
                    scores[b, c] += presence[b, d] * max(weights[c, d].item(), 0.0)
    return presence, scores


def plain_terms(z1, z2, weights, labels):
    """Compute the three terms without their weights, patch by patch and image by image."""
    (p1, o1), (p2, o2) = plain_forward(z1, weights), plain_forward(z2, weights)
    batch, depth, height, width = z1.shape
    agreement = [
        -math.log(sum((z1[b, d, y, x] * z2[b, d, y, x]).item() for d in range(depth)) + 1e-12)
        for b in range(batch)
        for y in range(height)
        for x in range(width)
    ]
    spread = [
        sum(-math.log(math.tanh(sum(p[b, d].item() for b in range(batch))) + 1e-8) for d in range(depth))
        / depth
        for p in (p1, p2)
    ]
    entropy = []
    for scores in (o1, o2):
        for b, label in enumerate(labels.tolist()):
            powers = [1 + score.item() ** 2 for score in scores[b]]  # exp(log(1 + o²))
            entropy.append(-math.log(powers[label] / sum(powers)))
    return {
        "align": sum(agreement) / len(agreement),
        "tanh": sum(spread) / 2,
        "classification": sum(entropy) / len(entropy),
    }


def test_presences_and_scores_agree_with_loops():
    model = sharp().eval()
    with torch.no_grad():
        model.last.weight -= 1.0  # half of them negative, which count as zero
    images = torch.rand(3, 1, 28, 28)
    output = model(images)
    features = model.addon(model.encoder.map(model.encoder.features(model.normalize(images))))
    z = features.exp() / features.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(output.latents, z)
    presence, scores = plain_forward(z.detach(), model.last.weight.detach(), least=0.1)
    torch.testing.assert_close(output.similarities, presence)
    torch.testing.assert_close(output.scores, scores)
    assert 0 < (presence < 0.1).float().mean() < 1  # the threshold matters here


@pytest.mark.parametrize(
    ("stage", "variant", "expected"),
    [
        ("pretrain", "paper", (5, 2, 0)),
        ("pretrain", "released", (0.3, 5, 0)),
        ("head", "paper", (0, 0, 2)),
        ("last layers", "paper", (5, 2, 2)),
        ("all", "released", (5, 2, 2)),
    ],
)
def test_each_stages_losses_agree_with_loops(stage, variant, expected):
    model, labels = sharp(variant=variant), torch.tensor([0, 2, 2])
    model.train()
    views = [torch.rand(3, 1, 28, 28), torch.rand(3, 1, 28, 28)]
    remaining = iter(views)
    model.view = lambda images: next(remaining)
    model.before_step(step_of(stage, epoch=2))
    output = model(torch.zeros(3, 1, 28, 28))
    terms = model.loss(output, labels)
    assert output.scores.shape == (3, 3)
    z1, z2 = output.latents.detach(), output.extras["second latents"].detach()
    plain = plain_terms(z1, z2, model.last.weight.detach(), labels)
    for (name, value), weight in zip(plain.items(), expected, strict=True):
        assert terms[name].item() == pytest.approx(weight * value, rel=2e-4), name


def test_agreement_has_half_the_gradient_of_its_value():
    """It is ½ [ℓ(z', sg z'') + ℓ(z'', sg z')], with gradients through each view once."""
    z = [torch.rand(2, 5, 3, 3).softmax(dim=1).requires_grad_() for _ in range(2)]
    align(*z).backward()

    def one_way(moving, still):
        return -((moving * still.detach()).sum(dim=1) + 1e-12).log().mean()

    copies = [part.detach().clone().requires_grad_() for part in z]
    plain = (one_way(copies[0], copies[1]) + one_way(copies[1], copies[0])) / 2
    plain.backward()
    assert align(*z).item() == pytest.approx(plain.item())
    for part, copy in zip(z, copies, strict=True):
        torch.testing.assert_close(part.grad, copy.grad)


def test_evaluation_shrinks_nothing_and_ignores_the_stage():
    """The released evaluation subtracts 0.001 from all weights for each batch of images."""
    model = sharp().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images, labels = torch.rand(5, 1, 28, 28), torch.tensor([0, 1, 2, 0, 1])
    output = model(images)
    terms = model.loss(output, labels)
    model.before_step(step_of("pretrain"))
    again = model.loss(model(images), labels)
    assert {k: v.item() for k, v in terms.items()} == {k: v.item() for k, v in again.items()}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor.nan_to_num(7), before[name].nan_to_num(7)), name
    plain = plain_terms(output.latents.detach(), output.latents.detach(), model.last.weight.detach(), labels)
    assert terms["align"].item() == pytest.approx(5 * plain["align"], rel=1e-4)


def test_an_image_of_a_class_without_points_leaves_the_loss_finite():
    model = sharp().train()
    with torch.no_grad():
        model.last.weight.fill_(-1)
    output = model(torch.rand(2, 1, 28, 28))
    assert isinstance(output, Output)
    total = sum(model.loss(output, torch.tensor([0, 1])).values())
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
