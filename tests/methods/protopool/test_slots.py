"""Focal similarity and slots against the fact sheet's values."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from methods.protopool.small_models import make
from resemblance.methods.protopool.focal import nearest_and_mean
from resemblance.methods.protopool.slots import Slots, gumbel_scale, largest, orthogonality
from resemblance.prototypes.similarity import log_similarity, squared_distances

MAP = torch.tensor([0.0, 1.0, 1.0, 2.0]).sqrt().reshape(1, 1, 2, 2)  # squared distances to a prototype at 0


def test_focal_similarity():
    vectors = torch.zeros(1, 1, 1, 1)
    for variant, mean, expected in (("paper", "similarity", 6.4599), ("released", "distance", 8.5173)):
        similarity = make(variant=variant).prototypes.focal_similarity(*nearest_and_mean(MAP, vectors, mean))
        assert similarity.item() == pytest.approx(expected, abs=1e-3)


def test_the_printed_equation_would_be_zero():
    similarities = log_similarity(squared_distances(MAP, torch.zeros(1, 1, 1, 1))).flatten()
    assert (similarities.max() - similarities.max()).item() == 0


@pytest.mark.parametrize(("variant", "expected"), [("paper", 4.9517), ("released", 1.0984)])
def test_slots_mix_similarities_in_the_paper_and_distances_in_the_released_code(variant, expected):
    model = make(classes=2, slots=1, prototypes=2, prototype_depth=1, variant=variant, focal=False)
    with torch.no_grad():
        model.prototypes.vectors.copy_(torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1))
    model.train()
    model.slots.draw = lambda scale: torch.full((2, 1, 2), 0.5)
    output = model.head(torch.zeros(1, 1, 2, 2))
    assert output.scores[0].tolist() == pytest.approx([expected] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("slots", "expected"), [([[1, 2], [1, 2]], 1), ([[1, 0], [0, 1]], 0), ([[1, 2], [-1, -2]], -1)]
)
def test_orthogonality(slots, expected):
    assert orthogonality(torch.tensor([slots]).float()).item() == pytest.approx(expected, abs=1e-6)


def test_orthogonality_has_the_gradient_of_the_cosines():
    slots = torch.rand(2, 3, 5, dtype=torch.float64, requires_grad=True)
    units = F.normalize(slots, dim=2)
    expected = (units @ units.mT).sum() / 6 - 1
    assert torch.allclose(orthogonality(slots), expected)
    one, other = (torch.autograd.grad(value, slots)[0] for value in (orthogonality(slots), expected))
    assert torch.allclose(one, other)


def test_gumbel_softmax_goes_to_one_hot(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda self: self.fill_(1.0))  # no noise: −log 1
    slots = Slots(1, 1, 3)
    with torch.no_grad():
        slots.logits.copy_(torch.tensor([[[2.0, 1.0, 0.0]]]))
    assert slots.draw(1.0).flatten().tolist() == pytest.approx([0.867, 0.117, 0.016], abs=1e-3)
    # A fivefold scale is a temperature of a tenth.
    assert slots.draw(5.0).flatten().tolist() == pytest.approx([0.99995, 4.5e-5, 0], abs=1e-5)


def test_scale():
    expected = {0: 0, 1: 182.57, 2: 258.2, 10: 577.35, 29: 983.19, 30: 1000, 80: 1000}
    for epoch, scale in expected.items():
        assert gumbel_scale(epoch) == pytest.approx(scale, abs=0.01)


def test_initial_logits_and_agreement_of_draws_are_those_of_the_authors_code():
    torch.manual_seed(0)
    slots = Slots(200, 10, 202)
    assert slots.logits.std().item() == pytest.approx(0.0223, abs=2e-4)
    for scale, agreement in ((1000.0, 0.88), (10_000.0, 0.99)):
        one, two = (slots.draw(scale).argmax(2) for _ in range(2))
        assert (one == two).float().mean().item() == pytest.approx(agreement, abs=0.02)


def test_ties_go_to_the_lowest_index():
    masses = torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.0]])
    assert largest(masses, 3).nonzero()[:, 1].tolist() == [0, 1, 3]
    assert largest(masses, 9).all()


def test_every_step_draws_and_evaluation_is_reproducible():
    images = torch.rand(2, 1, 28, 28)
    for variant in ("paper", "released"):
        model = make(variant=variant).train()
        torch.manual_seed(1)
        first, second = model(images), model(images)
        torch.manual_seed(1)
        again = model(images)
        assert not torch.equal(first.extras["assignment"], second.extras["assignment"])
        assert torch.equal(first.extras["assignment"], again.extras["assignment"])
        model.eval()
        state = torch.get_rng_state()
        one = model(images)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(one.scores, model(images).scores)


def test_hard_assignment_is_the_largest_logit():
    model = make()
    assigned = model.slots.logits.argmax(2)
    assert torch.equal(model.slots.assigned(), assigned)
    assert model.slots.hard_assignment().sum() == assigned.numel()


def test_without_gumbel_softmax_slots_are_a_plain_softmax_and_hard_in_evaluation():
    model = make(gumbel=False)
    logits = model.slots.logits
    assert torch.equal(model.slots.draw(1000.0), logits.softmax(dim=2))
    assert torch.equal(model.slots.hard_assignment().argmax(dim=2), logits.argmax(dim=2))


def test_draws_are_those_of_gumbel_softmax():
    slots = Slots(3, 2, 5)
    torch.manual_seed(0)
    drawn = slots.draw(50.0)
    torch.manual_seed(0)
    expected = F.gumbel_softmax(50.0 * slots.logits, 0.5, dim=2)
    assert torch.allclose(drawn, expected, rtol=1e-5)
    weights = torch.rand(drawn.shape)
    one, other = (torch.autograd.grad((weights * q).sum(), slots.logits)[0] for q in (drawn, expected))
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
