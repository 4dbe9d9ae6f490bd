"""Forward pass and losses against a plain re-implementation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from methods.deformable.small_models import VARIANTS, make, plain_read
from resemblance.config.image import ImageSpec
from resemblance.config.model import ModelSpec
from resemblance.methods.registry import build


def plain_forward(model, images):
    released, parts = model.released, model.config.parts
    raw = model.encoder.map(model.encoder.features(model.normalize(images))).detach()
    raw = F.relu(model.addon(raw)).detach()
    if model.config.upsample > 1:
        raw = F.interpolate(raw, scale_factor=model.config.upsample, mode="bilinear")
    uniform, extra = (2, 1e-4) if released else (1, 0.0)
    z = torch.cat([raw, torch.full((len(raw), uniform, *raw.shape[2:]), 1e-4)], dim=1)
    z = z / ((z**2).sum(1, keepdim=True) + extra).sqrt() / parts
    vectors = model.prototypes.vectors.detach()[:, : raw.shape[1]]
    p = torch.cat([vectors, torch.full((len(vectors), uniform, parts, parts), 1e-4)], dim=1)
    p = p / (((p**2).sum(1, keepdim=True) + extra).sqrt() + extra) / parts
    first, _, second = model.offsets
    hidden = F.relu(F.conv2d(64 * z, first.weight, first.bias, padding=1))
    offsets = F.conv2d(hidden, second.weight, second.bias, padding=1).detach()
    height, width = offsets.shape[2:]
    maps = torch.zeros(len(images), len(p), height, width)
    for i in range(len(images)):
        for a in range(height):
            for b in range(width):
                for m in range(parts):
                    for n in range(parts):
                        read = plain_read(z[i], offsets[i], (a, b), (m, n), parts)
                        maps[i, :, a, b] += p[:, :, m, n] @ read
    if released:
        maps = (maps / 1.01).relu()
    return maps


def plain_orthogonality(model):
    vectors, owners = model.prototypes.vectors.detach()[:, : model.prototypes.depth], model.prototypes.owners
    parts = vectors.flatten(2).transpose(1, 2)  # (P, ρ, D)
    if model.released:
        unit = parts / ((parts**2).sum(2, keepdim=True) + 1e-4).sqrt()
        unit = unit.reshape(model.config.prototypes_per_class, -1, parts.shape[2])
        return sum(((rows @ rows.T - torch.eye(len(rows))) ** 2).sum() for rows in unit).sqrt().item()
    total = 0.0
    for c in range(owners.shape[1]):
        rows = F.normalize(parts[owners[:, c]].reshape(-1, parts.shape[2]), dim=1) / math.sqrt(
            model.config.parts**2
        )
        total += ((rows @ rows.T - torch.eye(len(rows)) / model.config.parts**2) ** 2).sum().item()
    return total


@VARIANTS
@pytest.mark.parametrize(("parts", "upsample"), [(2, 1), (3, 1), (2, 2)])
def test_forward_and_losses_agree_with_a_plain_re_implementation(variant, parts, upsample):
    model = make(variant=variant, parts=parts, upsample=upsample, moving=0.7, addon="regular").eval()
    images, labels = torch.rand(3, 1, 28, 28), torch.tensor([0, 2, 1])
    output = model(images)
    maps = plain_forward(model, images)
    assert torch.allclose(model.prototypes.maps(output.latents), maps, rtol=1e-5, atol=1e-6)
    similarities = maps.flatten(2).amax(2)
    assert torch.allclose(output.similarities, similarities, rtol=1e-5)
    weights = model.last.weight.detach()
    assert torch.allclose(output.scores, similarities @ weights.T, rtol=1e-5, atol=1e-5)
    own = model.prototypes.owners.T[labels]
    nearer = torch.cos((torch.arccos(similarities.clamp(max=1)) - 0.1).relu())
    nearer = torch.where(own, similarities, nearer)
    cluster = sum(nearer[i][own[i]].max().item() for i in range(3)) / 3
    separation = sum(nearer[i][~own[i]].max().item() for i in range(3)) / 3
    terms = {name: term.item() for name, term in model.loss(output, labels).items()}
    expected = F.cross_entropy(nearer @ weights.T, labels).item()
    assert terms["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert terms["cluster"] == pytest.approx(-0.8 * cluster, rel=1e-5)
    assert terms["separation"] == pytest.approx(0.08 * separation, rel=1e-5)
    assert terms["orthogonality"] == pytest.approx(0.1 * plain_orthogonality(model), rel=2e-4)
    assert terms["l1"] == pytest.approx(1e-2 * 0.5 * 2 * 6, rel=1e-5)


def test_orthogonality_of_classes_with_few_prototypes_agrees_with_the_plain_one():
    model = make()
    model.keep(torch.tensor([0, 2, 3, 5]))
    terms = model.loss(model.eval()(torch.rand(2, 1, 28, 28)), torch.tensor([0, 1]))
    assert terms["orthogonality"].item() == pytest.approx(0.1 * plain_orthogonality(model), rel=1e-4)


def test_images_of_a_class_without_prototypes_leave_the_losses_finite():
    model = make(classes=2, prototypes_per_class=1)
    model.keep(torch.tensor([0]))
    terms = model.loss(model(torch.rand(4, 1, 28, 28)), torch.tensor([1, 1, 1, 1]))
    sum(terms.values()).backward()
    assert sum(terms.values()).isfinite()
    assert terms["cluster"].item() == 0


def test_the_uniform_channels_of_prototypes_are_not_read():
    model = make().eval()
    images = torch.rand(2, 1, 28, 28)
    before = model(images).scores
    with torch.no_grad():
        model.prototypes.vectors[:, model.prototypes.depth :] = 7
    output = model(images)
    assert torch.equal(output.scores, before)
    sum(model.loss(output, torch.tensor([0, 1])).values()).backward()
    assert (model.prototypes.vectors.grad[:, model.prototypes.depth :] == 0).all()
    assert (model.prototypes.vectors.grad[:, : model.prototypes.depth] != 0).any()


def test_maps_that_have_signs_are_rectified():
    net = nn.Sequential(nn.Conv2d(1, 6, 3, 4, padding=1))
    spec = ModelSpec(("a", "b"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
    model = build("deformable", {"encoder": "own:net", "offset_channels": 4}, spec, module=net).eval()
    output = model(torch.randn(2, 1, 28, 28))
    assert (output.latents[:, : model.prototypes.channels] >= 0).all()
    assert output.scores.isfinite().all()
