import copy

import pytest
import torch
from torch.nn import functional as F

from resemblance.training.engine.optimizers import (
    OptimizerState,
    build_optimizer,
    collect_state,
    freeze_others,
    rate_factor,
    select_state,
)
from tiny import Group, Schedule, Stage, both, make


def step(model, optimizer, times=3):
    generator = torch.Generator().manual_seed(5)
    for _ in range(times):
        images = torch.rand(8, 1, 8, 8, generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model.eval()(images).scores, torch.arange(8)).backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-2
        optimizer.step()


def test_step_decay_that_steps_before_each_epoch():
    decay = Schedule("step", size=5, gamma=0.1, first=1)
    rates = [round(rate_factor(decay, age, 0.0), 8) for age in range(10)]
    assert rates == [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01]


def test_state_carries_over_as_in_one_optimiser():
    for kind in ("adam", "adamw", "sgd"):
        stage = Stage("s", 1, both(), optimizer=kind, momentum=0.9)
        one, two = make(), make()
        step(one, build_optimizer(one, stage, OptimizerState()), 6)
        first = build_optimizer(two, stage, OptimizerState())
        step(two, first, 3)
        optimizer_state = collect_state(two, stage, first, 2, OptimizerState())
        second = build_optimizer(two, stage, optimizer_state)
        kept = copy.deepcopy(optimizer_state.states)
        generator = torch.Generator().manual_seed(5)
        torch.rand(3, 8, 1, 8, 8, generator=generator)
        for _ in range(3):
            images = torch.rand(8, 1, 8, 8, generator=generator)
            second.zero_grad()
            F.cross_entropy(two.eval()(images).scores, torch.arange(8)).backward()
            for group in second.param_groups:
                group["lr"] = 1e-2
            second.step()
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)), kind
        assert optimizer_state.ages == {"body": 2, "head": 2}
        for name, entry in optimizer_state.states.items():  # a resumed stage starts from it: unchanged
            for key, value in entry["state"].items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(kept[name]["state"][key]))


def test_fresh_forgets_and_other_groups_stay():
    model = make()
    both_stage, head = Stage("a", 1, both()), Stage("b", 1, {"head": Group(1e-2)}, fresh=True)
    optimizer = build_optimizer(model, both_stage, OptimizerState())
    step(model, optimizer)
    optimizer_state = collect_state(model, both_stage, optimizer, 4, OptimizerState())
    fresh = build_optimizer(model, head, optimizer_state)
    assert not fresh.state
    step(model, fresh, 1)
    after = collect_state(model, head, fresh, 2, optimizer_state)
    assert after.ages == {"body": 4, "head": 2}
    assert after.states["body.1.weight"] is optimizer_state.states["body.1.weight"]
    assert float(after.states["last.weight"]["state"]["step"]) == 1


def test_fresh_can_be_for_some_groups_alone():
    model = make()
    first, second = Stage("a", 1, both()), Stage("b", 1, both(), fresh=("body",))
    optimizer = build_optimizer(model, first, OptimizerState())
    step(model, optimizer)
    optimizer_state = collect_state(model, first, optimizer, 4, OptimizerState())
    optimizer = build_optimizer(model, second, optimizer_state)
    states = {
        group["name"]: [p in optimizer.state for p in group["params"]] for group in optimizer.param_groups
    }
    assert not any(states["body"])
    assert all(states["head"])
    assert collect_state(model, second, optimizer, 3, optimizer_state).ages == {"body": 3, "head": 7}


def test_several_stages_share_one_fall_and_groups_have_their_own():
    whole = [rate_factor(Schedule("cosine", floor=0.2), 0, step / 20) for step in range(20)]
    first, second = (Schedule("cosine", floor=0.2, part=part) for part in ((0.0, 0.25), (0.25, 1.0)))
    parts = [rate_factor(first, 0, step / 5) for step in range(5)]
    parts += [rate_factor(second, 0, step / 15) for step in range(15)]
    assert parts == pytest.approx(whole)
    again = Schedule("cosine", cycles=4)
    rates = [rate_factor(again, 0, step / 20) for step in range(20)]
    assert rates == pytest.approx(4 * [rate_factor(Schedule("cosine"), 0, step / 5) for step in range(5)])


def test_another_optimiser_does_not_take_the_state():
    model = make()
    stage = Stage("a", 1, both())
    optimizer = build_optimizer(model, stage, OptimizerState())
    step(model, optimizer)
    optimizer_state = collect_state(model, stage, optimizer, 1, OptimizerState())
    assert not build_optimizer(model, Stage("b", 1, both(), optimizer="sgd"), optimizer_state).state


def test_state_follows_pruned_prototypes():
    model = make()
    stage = Stage("a", 1, both())
    optimizer = build_optimizer(model, stage, OptimizerState())
    step(model, optimizer)
    optimizer_state = collect_state(model, stage, optimizer, 1, OptimizerState())
    before = {name: parameter.shape for name, parameter in model.named_parameters()}
    kept = torch.tensor([1, 4, 7])
    model.keep(kept)
    selected = select_state(optimizer_state, before, model, kept)
    old, new = optimizer_state.states["last.weight"]["state"], selected.states["last.weight"]["state"]
    assert torch.equal(new["exp_avg"], old["exp_avg"][:, kept])
    assert float(new["step"]) == float(old["step"])
    vectors = selected.states["prototypes.vectors"]["state"]["exp_avg_sq"]
    assert torch.equal(vectors, optimizer_state.states["prototypes.vectors"]["state"]["exp_avg_sq"][kept])
    step(model, build_optimizer(model, stage, selected), 1)

    unknown = select_state(optimizer_state, before, model, None)
    assert "last.weight" not in unknown.states
    assert "body.1.weight" in unknown.states
    step(model, build_optimizer(model, stage, unknown), 1)


def test_others_are_frozen():
    model = make()
    freeze_others(model, Stage("a", 1, {"head": Group(1e-2)}))
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        "prototypes.vectors",
        "last.weight",
        "last.bias",
    }
