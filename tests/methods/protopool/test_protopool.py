"""Hard assignment, owners, evidence and maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from methods.protopool.small_models import assign, make
from models import noise_for
from resemblance.training.ends.actions import ActionContext, run


def test_the_released_variant_assigns_by_its_draw():
    model = make(variant="released").eval()
    with torch.no_grad():
        model.slots.logits.mul_(1e-4)  # close to each other
    images = torch.rand(2, 1, 28, 28)
    before = model.slots.hard_assignment()
    assert model.mixes(before)
    slots = model.evidence(model(images), torch.tensor([0, 1]))
    assert slots.contributions.shape == (2, 6)
    assert slots.prototypes.tolist() == before.argmax(2).flatten().tolist()
    model.assign_owners()
    assert torch.equal(model.slots.assigned(), before.argmax(2))
    output = model(images)
    assert not model.mixes(model.slots.hard_assignment())
    assert model.evidence(output, torch.tensor([0, 1])).contributions.shape == (2, 7)


def test_two_slots_on_one_prototype_are_summed():
    model = make().eval()
    assign(model, [[3, 3], [0, 3], [5, 6]])
    output = model(torch.rand(1, 1, 28, 28))
    evidence = model.evidence(output, torch.tensor([0]))
    assert evidence.weights[0].tolist() == [0, 0, 0, 2, 0, 0, 0]
    assert output.scores[0, 0].item() == pytest.approx(2 * output.similarities[0, 3].item())
    assert model.loss(output, torch.tensor([0]))["orthogonality"].item() == pytest.approx(1 / 3)


def test_assignment_sets_owners_and_drops_prototypes_in_no_slot():
    model = make().eval()
    assign(model, [[3, 3], [0, 3], [5, 6]])
    images = torch.rand(2, 1, 28, 28)
    before = model(images)
    context = ActionContext(noise_for(model), batch_size=8)
    run("assign", model, context)
    after = model(images)
    assert context.kept.tolist() == [0, 3, 5, 6]
    assert context.notes == ["dropped 3 of 7 prototypes, which no class has chosen"]
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
    assign(model, [[3, 3], [0, 3], [5, 6]])
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
    assign(model, [[3, 2], [0, 3], [5, 6]])
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
    # By Jensen's inequality, the released focal similarity is never smaller.
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


def test_training_ends_with_the_assigned_prototypes(trained):
    model = trained("protopool").model
    assigned = model.slots.assigned().flatten().unique()
    assert len(model.prototypes) == len(assigned) <= 20 < 24  # ten classes of two slots cannot take all
    assert model.prototypes.owners.any(dim=1).all()
    assert (model.prototypes.source_index >= 0).all()
