"""Latent certificates: the fact sheet's values, the formulas written out, and random moves of the latents."""

from __future__ import annotations

import math

import pytest
import torch

from cases import PROTOTYPE_VARIANTS, VARIANTS
from models import batch, make
from resemblance.audit.integrity.certificate_check import slightly_changed
from resemblance.audit.integrity.certified_head import CertifiedHead, certified_head, space_of
from resemblance.audit.integrity.latent_certificate import (
    linear_radius,
    nearest_margin,
    nearest_radius,
    pair_radius,
)
from resemblance.prototypes.geometry import InnerProduct
from resemblance.prototypes.similarity import log_similarity
from resemblance.prototypes.vectors import VectorPrototypes

CERTIFIED = {
    "kmex",
    "kmex released",
    "protopnet",
    "protopnet 2x2",
    "protopnet linear",
    "protopnet avg",
    "protopool plain",
    "protopshare",
    "protopshare released",
    "protopshare vectors",
    "prototypedl",
    "prototypedl released",
    "prototypedl fixed",
    "protovae",
    "protovae released",
    "protovae encoder",
    "tesnet",
    "tesnet released",
}


def squared_log(distances):
    return log_similarity(distances.square())


def test_the_values_of_the_fact_sheet_for_the_nearest_prototype():
    right, wrong, z = torch.tensor([0.0, 0.0]), torch.tensor([2.0, 0.0]), torch.tensor([0.4, 0.3])
    distances = torch.stack([(z - right).norm(), (z - wrong).norm()])
    assert nearest_margin(*distances).item() == pytest.approx(0.5639, abs=5e-5)
    assert pair_radius(*distances, torch.tensor(2.0)).item() == pytest.approx(0.6, abs=1e-6)
    owners, between = torch.eye(2).bool(), torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    first = torch.tensor([0])
    assert nearest_radius(distances[None], owners, first, between).item() == pytest.approx(0.6, abs=1e-6)
    assert nearest_radius(distances[None], owners, first).item() == pytest.approx(0.5639, abs=5e-5)
    assert nearest_radius(distances[None], owners, torch.tensor([1]), between).item() == 0


def test_the_values_of_the_fact_sheet_for_a_linear_head():
    distances = torch.tensor([[0.3, 0.9]], dtype=torch.float64)
    weights, bias = torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    radius = linear_radius(distances, weights, bias, torch.tensor([0]), squared_log)
    assert radius.item() == pytest.approx(0.3, abs=1e-9)
    assert (
        squared_log(distances[0, 0] + 0.3) <= squared_log(distances[0, 1] - 0.3) + 1e-12
    )  # 0.3 itself is not safe
    assert squared_log(distances[0, 0] + radius)[0] > squared_log(distances[0, 1] - radius)[0]
    angles = torch.tensor([[0.9, 0.5]], dtype=torch.float64).arccos()
    radius = linear_radius(angles, weights, bias, torch.tensor([0]), torch.cos, largest=math.pi)
    assert radius.item() == pytest.approx(0.2981, abs=5e-5)


def by_steps(distances, weights, bias, predicted, similarity, steps=4000, end=2.0):
    """The last of many radii at which the formula's margins are all positive, image by image."""
    radii = []
    for row, label in zip(distances.tolist(), predicted.tolist(), strict=True):
        safe = 0.0
        for radius in torch.linspace(0, end, steps).tolist():
            worst = math.inf
            for other in range(len(weights)):
                if other == label:
                    continue
                margin = (bias[label] - bias[other]).item()
                for k, distance in enumerate(row):
                    gain = (weights[label, k] - weights[other, k]).item()
                    moved = distance + radius if gain > 0 else max(0.0, distance - radius)
                    margin += gain * similarity(torch.tensor(moved, dtype=torch.float64)).item()
                worst = min(worst, margin)
            if worst <= 0:
                break
            safe = radius
        radii.append(safe)
    return torch.tensor(radii, dtype=torch.float64)


def test_bisection_agrees_with_the_formula_step_by_step():
    generator = torch.Generator().manual_seed(1)
    distances = torch.rand(5, 6, generator=generator, dtype=torch.float64)
    weights = torch.randn(3, 6, generator=generator, dtype=torch.float64)  # negative ones, too
    bias = torch.randn(3, generator=generator, dtype=torch.float64)
    predicted = (squared_log(distances) @ weights.T + bias).argmax(dim=1)
    radii = linear_radius(distances, weights, bias, predicted, squared_log)
    expected = by_steps(distances, weights, bias, predicted, squared_log, steps=400, end=0.4)
    assert (radii - expected).abs().max() < 2e-3
    assert expected.max() > 0.01


def test_an_answer_that_no_move_can_change_is_infinitely_safe():
    weights = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    distances, first = torch.tensor([[0.5, 0.2]], dtype=torch.float64), torch.tensor([0])
    assert linear_radius(distances, weights, torch.zeros(2), first, lambda d: 1 + (-d).exp()).isinf().all()
    assert linear_radius(distances, weights, torch.tensor([-9.0, 0.0]), first, squared_log).item() == 0


def moves(head, latents, radius, kind, generator):
    """Latents moved by just less than the radius per image: at random, or towards and away from prototypes."""
    layer = head.layer
    compared = layer.compared(latents)
    if kind == "random":
        step = torch.randn(compared.shape, generator=generator)
    else:
        vectors = layer.normalized(layer.vectors.detach())
        chosen = vectors[torch.randint(len(vectors), (len(latents),), generator=generator)]
        target = chosen.mean(dim=(2, 3), keepdim=True) if layer.has_maps else chosen
        step = target - compared if kind == "towards" else compared - target
    length = step.norm(dim=1, keepdim=True).clamp_min(1e-12)
    scale = radius.clamp_max(1e6).to(step).reshape(-1, *[1] * (step.dim() - 1))
    flat = latents if layer.has_maps else latents.flatten(1)
    moved = torch.cat([compared + 0.999 * scale * step / length, flat[:, compared.shape[1] :]], dim=1)
    return moved.reshape(latents.shape)


@pytest.mark.parametrize("name", sorted(CERTIFIED))
def test_no_move_within_the_radius_changes_an_answer(name):
    method, settings = VARIANTS[name]
    model = make(method, size=32 if "2x2" in name else 28, **settings).eval()
    head = certified_head(model)
    assert isinstance(head, CertifiedHead), head
    generator = torch.Generator().manual_seed(0)
    images, _ = batch(model, 12)
    with torch.no_grad():
        latents = model.latents(images)
        # Prototypes near latents of their own, as after training; else all of them are equally far away.
        if head.layer.has_maps:
            rows = torch.randint(len(latents), (len(head.layer),), generator=generator)
            height, width = head.layer.window
            near = head.layer.compared(latents)[rows][:, :, :height, :width]
        else:
            near = head.layer.compared(latents)[: len(head.layer)].repeat(len(head.layer), 1)[
                : len(head.layer)
            ]
        head.layer.vectors.copy_(near + 0.1 * near.std() * torch.randn(near.shape, generator=generator))
        head = certified_head(model)
        assert isinstance(head, CertifiedHead)
        answers = model.head(latents).scores.argmax(dim=1)
        radii = head.radii(latents, answers)
        assert (radii > 0).any()
        for kind in ("random", "towards", "away"):
            for _ in range(10):
                moved = moves(head, latents, radii, kind, generator)
                changed = model.head(moved).scores.argmax(dim=1) != answers
                assert not (changed & (radii > 1e-5)).any()


@pytest.mark.parametrize("name", [name for name in PROTOTYPE_VARIANTS if name not in CERTIFIED])
def test_other_heads_are_refused_by_name(name):
    method, settings = VARIANTS[name]
    reason = certified_head(make(method, **settings).eval())
    assert isinstance(reason, str)
    assert method in reason


def test_the_radius_of_the_nearest_prototype_is_exact():
    """Moved towards the plane between both prototypes, the answer changes just beyond the radius."""
    model = make("kmex", encoder="small", prototypes_per_class=1).eval()
    images, _ = batch(model, 6)
    with torch.no_grad():
        latents = model.latents(images)
        model.set_prototypes(
            latents[:3] + 0.2 * latents.std() * torch.randn(3, latents.shape[1]), torch.eye(3)
        )
        head = certified_head(model)
        answers = model.head(latents).scores.argmax(dim=1)
        radii = head.radii(latents, answers)
        vectors = model.prototypes.vectors
        changed = torch.zeros(6, dtype=torch.bool)
        for other in range(3):
            step = vectors[other] - vectors[answers]
            step = step / step.norm(dim=1, keepdim=True).clamp_min(1e-12)
            beyond = model.head(latents + 1.01 * radii[:, None].float() * step).scores.argmax(dim=1)
            changed |= beyond != answers
    assert changed.all()


def test_cosines_are_bounded_as_angles():
    layer = VectorPrototypes(
        torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.eye(2), InnerProduct(True, True), torch.neg
    )
    space = space_of(layer)
    latents = torch.tensor([[2.0, 1.0]])
    angles = space.distances(layer.nearest(latents)[0].double())
    assert angles[0].tolist() == pytest.approx([math.atan2(1, 2), math.atan2(2, 1)], abs=1e-6)
    assert torch.allclose(space.similarity(angles).float(), layer(latents).similarities)
    head = CertifiedHead(layer, space, torch.eye(2).double(), torch.zeros(2).double())
    assert head.radii(latents, torch.tensor([0])).item() == pytest.approx(
        math.pi / 4 - math.atan2(1, 2), abs=1e-5
    )
    assert head.moved(latents, torch.tensor([[1.0, 1.0]])).item() == pytest.approx(
        math.pi / 4 - math.atan2(1, 2)
    )


def test_slight_changes_move_by_a_pixel_and_a_little_brightness():
    images = torch.rand(20, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 0.9
    changed = slightly_changed(images, torch.Generator().manual_seed(4))
    shifts = set()
    for before, after in zip(images, changed, strict=True):
        padded = torch.nn.functional.pad(before[None], (1, 1, 1, 1), mode="replicate")[0]
        fits = []
        for y in range(3):
            for x in range(3):
                factor = after / padded[:, y : y + 6, x : x + 5]
                if factor.std() < 1e-5 and abs(factor.mean() - 1) <= 0.0501:
                    fits.append((y, x))
        assert len(fits) == 1
        shifts |= set(fits)
    assert len(shifts) > 4
