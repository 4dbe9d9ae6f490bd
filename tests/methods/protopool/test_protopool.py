"""ProtoPool against the fact sheet's values and a plain re-implementation."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from resemblance.prototypes.focal import nearest_and_mean
from torch.nn import functional as F

import models
from models import noise_for
from resemblance.config.errors import UserError
from resemblance.core.training_step import TrainingStep
from resemblance.methods.protopool.config import ProtoPoolConfig
from resemblance.methods.protopool.slots import Slots, gumbel_scale, largest, orthogonality
from resemblance.prototypes import focal
from resemblance.prototypes.similarity import log_similarity, squared_distances
from resemblance.training.ends.actions import ActionContext, run
from resemblance.training.engine.cached_outputs import CachedOutputs

make = partial(models.make, "protopool", encoder="small", slots=2, prototypes=7, prototype_depth=8)


def hold(model, held):
    """Let the slots hold these prototypes (C, K)."""
    with torch.no_grad():
        model.slots.logits.copy_(F.one_hot(torch.tensor(held), len(model.prototypes)).float())


# The fact sheet's values.

MAP = torch.tensor([0.0, 1.0, 1.0, 2.0]).sqrt().reshape(1, 1, 2, 2)  # squared distances to a prototype at 0


def test_focal_similarity():
    vectors = torch.zeros(1, 1, 1, 1)
    for variant, mean, expected in (("paper", "similarity", 6.4599), ("released", "distance", 8.5173)):
        found = make(variant=variant).focal_similarity(*nearest_and_mean(MAP, vectors, mean))
        assert found.item() == pytest.approx(expected, abs=1e-3)


def test_the_printed_equation_would_be_zero():
    similarities = log_similarity(squared_distances(MAP, torch.zeros(1, 1, 1, 1))).flatten()
    assert (similarities.max() - similarities.max()).item() == 0


@pytest.mark.parametrize(("variant", "expected"), [("paper", 4.9517), ("released", 1.0984)])
def test_slots_mix_similarities_in_the_paper_and_distances_in_the_release(variant, expected):
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


def test_logits_start_as_the_authors_and_draws_agree_as_measured_there():
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


# Forward pass and losses.


@pytest.mark.parametrize("mean", ["similarity", "distance"])
def test_pooling_has_the_gradient_that_the_whole_map_has(mean, monkeypatch):
    monkeypatch.setattr(focal, "BLOCK", 5 * 12 * 2)  # two images at once, of five
    torch.manual_seed(0)
    latents, vectors = torch.rand(5, 6, 3, 4, requires_grad=True), torch.rand(5, 6, 1, 1, requires_grad=True)
    weights = torch.rand(2, 5, 5)
    found = nearest_and_mean(latents, vectors, mean)
    distances = squared_distances(latents, vectors).flatten(2)
    averaged = log_similarity(distances) if mean == "similarity" else distances
    expected = (distances.amin(2), averaged.mean(2))
    gradients = []
    for pair in (found, expected):
        total = (weights[0] * log_similarity(pair[0]) + weights[1] * pair[1]).sum()
        gradients.append(torch.autograd.grad(total, (latents, vectors)))
    for one, other in zip((*found, *gradients[0]), (*expected, *gradients[1]), strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def plain_forward(model, images, slots):
    """Loops and the formulas; slots (C, K, P)."""
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
    foreign = 0.0
    for c in range(len(of)):
        for slot in range(model.last.weight.shape[1]):
            if slot // config.slots != c:
                foreign += abs(model.last.weight[c, slot].item())
    return {
        "cross_entropy": F.cross_entropy(scores, labels).item(),
        "cluster": 0.8 * cluster,
        "separation": -0.08 * separation,
        "orthogonality": 2 * orthogonal / (len(of) * config.slots),
        "l1": 1e-4 * foreign,
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("focal_on", [True, False])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_forward_and_losses_agree_with_a_plain_re_implementation(variant, focal_on, training):
    model = make(variant=variant, focal=focal_on, mixup=False).eval()
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
    with torch.no_grad():
        model.last.weight.add_(0.1 * torch.randn(model.last.weight.shape))
        model.slots.logits.mul_(1e-4)  # so close that the released evaluation mixes
    model.training = training  # the encoder's batch norm stays in evaluation mode
    model.scale = 3e4  # soft slots
    output = model(images)
    slots = output.extras["assignment"].detach() if training else model.slots.settled()
    assert ((slots != 0) & (slots != 1)).any() == (training or variant == "released")
    nearest, scores = plain_forward(model, images, slots)
    assert torch.allclose(output.extras["distances"], nearest, rtol=1e-4, atol=1e-4)
    assert torch.allclose(output.scores, scores, rtol=1e-3, atol=1e-3)
    expected = plain_losses(model, nearest, scores, labels, slots)
    terms = model.loss(output, labels)
    assert terms.keys() == expected.keys()
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected[name], rel=1e-3, abs=1e-6), name


def test_a_pool_no_larger_than_the_slots_has_nothing_to_be_separated_from():
    model = make(prototypes=2)
    terms = model.loss(model(torch.rand(3, 1, 28, 28)), torch.tensor([0, 1, 2]))
    assert terms["separation"].item() == 0
    assert sum(terms.values()).isfinite()


def test_mixtures_are_of_two_images_and_their_labels():
    model = make().train()
    seen = {}
    latents = model.latents
    model.latents = lambda images: seen.update(images=images) or latents(images)
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])
    output = model(images)
    share, partners = output.extras["share"], output.extras["partners"]
    assert 0 < share < 1
    assert torch.allclose(seen["images"], share * images + (1 - share) * images[partners], atol=1e-6)
    expected = share * F.cross_entropy(output.scores, labels)
    expected += (1 - share) * F.cross_entropy(output.scores, labels[partners])
    terms = model.loss(output, labels)
    assert torch.allclose(terms["cross_entropy"], expected)
    unmixed = replace(output, extras={k: v for k, v in output.extras.items() if k != "partners"})
    assert terms["cluster"] == model.loss(unmixed, labels)["cluster"]
    assert "share" not in model.eval()(images).extras
    assert "share" not in make(mixup=False).train()(images).extras


def test_every_step_draws_and_answers_repeat():
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


# Slots that are settled, owners, explanations.


def test_hard_assignment_is_the_largest_logit():
    model = make()
    held = model.slots.logits.argmax(2)
    assert torch.equal(model.slots.held(), held)
    assert model.slots.settled().sum() == held.numel()


def test_the_release_settles_by_its_draw():
    model = make(variant="released").eval()
    with torch.no_grad():
        model.slots.logits.mul_(1e-4)  # close to each other
    images = torch.rand(2, 1, 28, 28)
    before = model.slots.settled()
    assert model.mixes(before)
    slots = model.evidence(model(images), torch.tensor([0, 1]))
    assert slots.contributions.shape == (2, 6)
    assert slots.prototypes.tolist() == before.argmax(2).flatten().tolist()
    model.assign_owners()
    assert torch.equal(model.slots.held(), before.argmax(2))
    output = model(images)
    assert not model.mixes(model.slots.settled())
    assert model.evidence(output, torch.tensor([0, 1])).contributions.shape == (2, 7)


def test_two_slots_on_one_prototype_are_summed():
    model = make().eval()
    hold(model, [[3, 3], [0, 3], [5, 6]])
    output = model(torch.rand(1, 1, 28, 28))
    evidence = model.evidence(output, torch.tensor([0]))
    assert evidence.weights[0].tolist() == [0, 0, 0, 2, 0, 0, 0]
    assert output.scores[0, 0].item() == pytest.approx(2 * output.similarities[0, 3].item())
    assert model.loss(output, torch.tensor([0]))["orthogonality"].item() == pytest.approx(1 / 3)


def test_assignment_names_owners_and_drops_prototypes_in_no_slot():
    model = make().eval()
    hold(model, [[3, 3], [0, 3], [5, 6]])
    images = torch.rand(2, 1, 28, 28)
    before = model(images)
    context = ActionContext(noise_for(model), batch_size=8)
    run("assign", model, context)
    after = model(images)
    assert context.kept.tolist() == [0, 3, 5, 6]
    assert context.notes == ["dropped 3 of 7 prototypes, which no class has taken"]
    assert model.prototypes.owners.tolist() == [
        [False, True, False],
        [True, True, False],
        [False, False, True],
        [False, False, True],
    ]
    assert torch.allclose(after.scores, before.scores, atol=1e-6)
    run("assign", model, context)
    assert len(context.notes) == 1


def test_shared_prototypes_are_projected_onto_any_of_their_classes():
    model = make().eval()
    hold(model, [[3, 3], [0, 3], [5, 6]])
    context = ActionContext(noise_for(model), batch_size=8)
    run("assign", model, context)
    with torch.no_grad():
        images = torch.from_numpy(context.train.array.transpose(0, 3, 1, 2)).float() / 255
        distances = model.prototypes.match(model.latents(images)).values
    labels = torch.from_numpy(np.asarray(context.train.labels))
    run("project", model, context)
    for j, row in enumerate(model.prototypes.owners):
        allowed = row[labels]
        expected = distances[:, j].masked_fill(~allowed, torch.inf).argmin().item()
        assert model.prototypes.source_index[j].item() == expected
    with torch.no_grad():
        answers = model(images)
    of_source = model.prototypes.match(answers.latents).values[model.prototypes.source_index, torch.arange(4)]
    assert of_source.abs().max() < 1e-4


def test_slots_whose_prototype_is_dropped_lose_their_weight():
    model = make().eval()
    hold(model, [[3, 2], [0, 3], [5, 6]])
    images = torch.rand(2, 1, 28, 28)
    before = model(images)
    model.keep(torch.tensor([0, 3, 6]))
    after = model(images)
    similarities = before.similarities
    expected = torch.stack([similarities[:, 3], similarities[:, [0, 3]].sum(1), similarities[:, 6]], dim=1)
    assert torch.allclose(after.scores, expected, atol=1e-5)
    model.assign_owners()
    assert model.prototypes.owners.int().tolist() == [[0, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_maps_peak_at_the_focal_similarity_and_have_no_mean_in_the_paper():
    for variant in ("paper", "released"):
        model = make(variant=variant).eval()
        output = model(torch.rand(2, 1, 28, 28))
        maps = model.prototypes.maps(output.latents).flatten(2)
        assert torch.allclose(maps.amax(2), output.similarities, atol=1e-5)
        assert (maps.mean(2).abs().max() < 1e-5) == (variant == "paper")
    # Jensen: the released focal similarity is never the smaller one.
    paper = make().eval()
    paper.load_state_dict(model.state_dict())
    assert (output.similarities >= paper.head(output.latents).similarities - 1e-5).all()


def test_evidence_adds_up_for_a_training_step_too():
    for variant in ("paper", "released"):
        model = make(variant=variant).train()
        model.scale = 3.0
        output = model(torch.rand(3, 1, 28, 28))
        evidence = model.evidence(output, torch.tensor([0, 1, 2]))
        total = evidence.contributions.sum(1)
        assert torch.allclose(total, output.scores.diagonal(), rtol=1e-4, atol=1e-5)


# Schedule.


def test_the_schedule_is_the_authors():
    recipe = make().recipe()
    assert [stage.name for stage in recipe.stages] == ["warm", "joint", "last layer"]
    assert [stage.epochs for stage in recipe.stages] == [9, 21, 25]
    assert recipe.stages[1].end == ("assign", "project", "usage")
    assert recipe.stages[1].fresh
    assert recipe.stages[2].groups == {"last": recipe.stages[2].groups["last"]}
    assert recipe.stages[2].groups["last"].lr == pytest.approx(1e-4)
    assert recipe.batch_size == 80
    assert recipe.scaled(12).stages[0].epochs == 4


def test_a_trained_encoder_is_frozen_while_warm():
    model = make()
    assert "encoder" in model.recipe().stages[0].groups
    model.config.weights = "a file"
    stages = model.recipe().stages
    assert "encoder" not in stages[0].groups
    assert stages[1].groups["encoder"].lr == pytest.approx(1e-4)


def scales(recipe, model):
    found, before = [], 0
    for stage in recipe.stages:
        for epoch in range(stage.epochs):
            model.before_step(TrainingStep(stage.name, epoch, stage.epochs, before, 0, 10))
            found.append(model.scale)
        before += stage.epochs
    return found


def test_scales_run_through_the_same_range_whatever_the_epochs():
    model = make()
    whole = scales(model.recipe(), model)
    assert whole[:30] == pytest.approx([gumbel_scale(epoch) for epoch in range(1, 31)])
    short = scales(model.recipe().scaled(6), model)[:6]
    assert short[0] == pytest.approx(gumbel_scale(1))
    assert short == sorted(set(short))
    assert short[-1] > 900
    long = scales(model.recipe().scaled(90), model)[:90]
    assert long[-1] == pytest.approx(gumbel_scale(30), rel=0.02)


def test_last_layer_stage_neither_draws_nor_mixes_and_knows_its_similarities():
    model = make()
    model.before_step(TrainingStep("last layer", 0, 25, 30, 0, 10))
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 0])
    model.eval()
    model.training = True
    output = model(images)
    assert output.extras.keys() == {"distances", "means"}

    class Batch:
        def __init__(self):
            self.images, self.labels, self.indices = images, labels, torch.arange(4)

    remembered = CachedOutputs(model, [Batch()]).batches(4)[0]
    again = model.rescore(remembered.output)
    assert torch.allclose(again.scores, output.scores, atol=1e-5)
    one, two = (sum(model.loss(found, labels).values()) for found in (output, again))
    gradients = [torch.autograd.grad(total, model.last.weight)[0] for total in (one, two)]
    assert torch.allclose(*gradients, atol=1e-6)
    assert gradients[0].abs().sum() > 0


# Configuration and files.


def test_size_of_the_pool():
    config = ProtoPoolConfig()
    assert [config.pool(c) for c in (2, 3, 10, 100, 196, 200, 300)] == [20, 30, 50, 101, 198, 202, 303]
    assert ProtoPoolConfig(slots=1).pool(2) == 2
    assert ProtoPoolConfig(prototypes=7).pool(2) == 7


def test_impossible_settings_are_refused():
    for setting in ("prototypes", "slots", "prototype_depth"):
        with pytest.raises(UserError, match="at least 1"):
            make(**{setting: 0})
    with pytest.raises(UserError, match="above 0"):
        make(rate=0.0)


def test_training_ends_with_the_prototypes_that_are_held(trained):
    model = trained("protopool").model
    held = model.slots.held().flatten().unique()
    assert len(model.prototypes) == len(held) < ProtoPoolConfig(slots=2).pool(10)
    assert model.prototypes.owners.any(dim=1).all()
    assert (model.prototypes.source_index >= 0).all()
