"""Shared prototypes, and training that merges."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import resemblance
from methods.protopshare.small_models import batches_of, for_digits, make
from resemblance.config.training import TrainConfig
from resemblance.training.ends import actions
from resemblance.training.ends.projection import project
from resemblance.training.engine.checkpoints import load_checkpoint
from resemblance.training.engine.fit import fit
from resemblance.training.engine.optimizers import freeze_others
from tiny import digits


def test_losses_with_shared_prototypes_agree_with_a_plain_re_implementation():
    for variant in ("paper", "released"):
        model = make(variant=variant).eval()
        model.merge(torch.tensor([0, 1, 0, 3, 3, 5]))  # prototype 0: classes 0 and 1; 3: classes 1 and 2
        with torch.no_grad():
            model.last.weight.add_(0.1)
        owners = [{0, 1}, {0}, {1, 2}, {2}]
        images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 2, 1, 1])
        output = model(images)
        distances, weight = output.extras["distances"], model.last.weight
        cluster = separation = l1 = 0.0
        for b, label in enumerate(labels.tolist()):
            cluster += min(distances[b, j].item() for j in range(4) if label in owners[j]) / 4
            separation += min(distances[b, j].item() for j in range(4) if label not in owners[j]) / 4
        for c in range(3):
            l1 += sum(abs(weight[c, j].item()) for j in range(4) if c not in owners[j])
        terms = model.loss(output, labels)
        assert terms["cluster"].item() == pytest.approx(0.8 * cluster, rel=1e-4)
        assert terms["separation"].item() == pytest.approx(-0.08 * separation, rel=1e-4)
        assert terms["l1"].item() == pytest.approx(1e-4 * l1, rel=1e-4)
        assert terms["cross_entropy"].item() == pytest.approx(F.cross_entropy(output.scores, labels).item())


def test_shared_prototypes_are_projected_over_all_their_classes():
    model = make(classes=3, prototypes_per_class=1).eval()
    model.merge(torch.tensor([0, 0, 2]))
    images, labels = torch.rand(6, 1, 28, 28), torch.tensor([2, 0, 1, 1, 0, 2])
    with torch.no_grad():  # both equal a patch of class 1, which owns the first but not the second
        patch = model.latents(images[3:4])[0, :, 2, 3]
        model.prototypes.vectors[0] = patch[:, None, None]
        model.prototypes.vectors[1] = patch[:, None, None]
    project(model, batches_of(images, labels))
    assert model.prototypes.source_index[0] == 3
    assert torch.allclose(model.prototypes.vectors[0].flatten(), patch, atol=1e-6)
    assert model.prototypes.source_index[1] in (0, 5)


def test_a_new_last_layer_has_weights_for_the_owners_only():
    for variant in ("paper", "released"):
        assert make(classes=2, variant=variant).last.weight.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]


class Recorded:
    """Records the state dict before and after each run of an action."""

    def __init__(self, name, monkeypatch):
        original = actions.END_ACTIONS[name]
        self.before, self.after = [], []

        def act(model, context):
            self.before.append({key: value.clone() for key, value in model.state_dict().items()})
            original(model, context)
            self.after.append({key: value.clone() for key, value in model.state_dict().items()})

        monkeypatch.setitem(actions.END_ACTIONS, name, act)


def test_fine_tuning_trains_what_was_merged(tmp_path, monkeypatch):
    """In the released code the optimisers have copies after the merge, and nothing is trained."""
    merging, projecting = Recorded("merge", monkeypatch), Recorded("project", monkeypatch)
    model = for_digits(rounds=2, keep=0.4)
    fit(model, digits(120, 20), tmp_path / "run", TrainConfig(accelerator="cpu", progress=False))
    assert [len(state["prototypes.vectors"]) for state in merging.after] == [13, 8]
    for number in (0, 1):
        merged, tuned = merging.after[number], projecting.before[number + 1]
        for name in ("prototypes.vectors", "addon.0.weight", "encoder.layers.0.weight"):
            assert (merged[name] - tuned[name]).abs().max() > 1e-6, (number, name)
        assert torch.equal(merged["last.weight"], tuned["last.weight"])  # it is trained after the projection
        last = merging.before[1]["last.weight"] if number == 0 else model.last.weight
        assert (tuned["last.weight"] - last).abs().max() > 1e-6
    state = load_checkpoint(tmp_path / "run" / "checkpoints" / "run.ckpt")
    states = state["optimizer_state"]["states"]
    assert states["prototypes.vectors"]["state"]["exp_avg"].shape == model.prototypes.vectors.shape
    assert states["last.weight"]["state"]["exp_avg"].shape == model.last.weight.shape


def test_the_optimisers_state_follows_the_prototypes_that_are_kept():
    from resemblance.training.engine.optimizers import (
        OptimizerState,
        build_optimizer,
        collect_state,
        select_state,
    )

    model = for_digits(keep=0.5)
    stage = next(stage for stage in model.recipe().stages if stage.name == "fine-tuning 1")
    freeze_others(model, stage)
    optimizer = build_optimizer(model, stage, OptimizerState())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    optimizer_state = collect_state(model, stage, optimizer, 1, OptimizerState())
    moments = optimizer_state.states["prototypes.vectors"]["state"]["exp_avg"].clone()
    before = {name: parameter.shape for name, parameter in model.named_parameters()}
    context = actions.ActionContext(digits().train)
    actions.run("merge", model, context)
    selected = select_state(optimizer_state, before, model, context.kept)
    assert torch.equal(selected.states["prototypes.vectors"]["state"]["exp_avg"], moments[context.kept])


def test_saved_and_loaded_with_the_owners_and_members(tmp_path):
    model = for_digits().eval()
    actions.run("merge", model, actions.ActionContext(digits().train))
    assert model.prototypes.owners.sum(1).max() > 1
    model.save(tmp_path / "model")
    loaded = resemblance.load(tmp_path / "model")
    assert torch.equal(loaded.prototypes.owners, model.prototypes.owners)
    assert loaded.facts == model.facts
    images = torch.rand(3, 1, 16, 16)
    assert torch.equal(loaded(images).scores, model(images).scores)
    loaded.keep(torch.tensor([2, 0]))
    assert loaded.facts["members"] == [model.facts["members"][2], model.facts["members"][0]]
