"""Optimisers whose state follows the parameters from stage to stage, and learning rates as a function."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Schedule, Stage


@dataclass
class OptimizerState:
    """What a stage leaves to the next one that trains the same parameters.

    Args:
        states: by parameter name, ``kind`` of the optimiser and its state tensors.
        ages: epochs that each group was trained since its state was last fresh.
    """

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)


def trained_parameters(model: Classifier, stage: Stage) -> dict[str, list[nn.Parameter]]:
    """The parameters of the stage's groups.

    Raises:
        ValueError: if the model has no group of that name.
    """
    groups = model.parameter_groups()
    if unknown := [name for name in stage.groups if name not in groups]:
        raise ValueError(f"stage {stage.name!r} trains {unknown[0]!r}; {model.name} has {', '.join(groups)}")
    return {name: groups[name] for name in stage.groups}


def freeze_others(model: Classifier, stage: Stage) -> None:
    """Parameters outside the stage's groups get no gradient."""
    model.requires_grad_(False)
    for parameters in trained_parameters(model, stage).values():
        for parameter in parameters:
            parameter.requires_grad_(True)


def build_optimizer(model: Classifier, stage: Stage, carried: OptimizerState) -> Optimizer:
    """The stage's optimiser, holding the state that earlier stages left unless the stage is fresh."""
    groups = [
        {"params": parameters, "name": name, "lr": group.lr, "weight_decay": group.weight_decay}
        for (name, parameters), group in zip(
            trained_parameters(model, stage).items(), stage.groups.values(), strict=True
        )
    ]
    fused = model.device.type in ("cpu", "cuda")
    optimizer: Optimizer
    if stage.optimizer == "sgd":
        optimizer = SGD(groups, lr=0.0, momentum=stage.momentum, fused=fused)
    else:
        optimizer = {"adam": Adam, "adamw": AdamW}[stage.optimizer](groups, lr=0.0, fused=fused)
    for group, name, parameter in _named(model, optimizer):
        kept = carried.states.get(name)
        if kept is not None and kept["kind"] == stage.optimizer and not stage.forgets(group):
            # A copy: the optimiser works in place.
            optimizer.state[parameter] = {
                key: _place(key, value, parameter) for key, value in kept["state"].items()
            }
    return optimizer


def carry(
    model: Classifier, stage: Stage, optimizer: Optimizer, epochs: int, carried: OptimizerState
) -> OptimizerState:
    """What is left after ``epochs`` of the stage: its own groups renewed, the others as they were."""
    states, ages = dict(carried.states), dict(carried.ages)
    for _, name, parameter in _named(model, optimizer):
        state = {
            key: value.detach().cpu().clone() if isinstance(value, Tensor) else value
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        states[name] = {"kind": stage.optimizer, "state": state}
    for group in stage.groups:
        ages[group] = (0 if stage.forgets(group) else ages.get(group, 0)) + epochs
    return OptimizerState(states, ages)


def follow(
    carried: OptimizerState, before: dict[str, torch.Size], model: Classifier, kept: Tensor | None
) -> OptimizerState:
    """Let the state follow parameters whose shape an end action changed.

    Args:
        carried: the state before the action.
        before: shapes of the parameters before it.
        model: the model after it.
        kept: (K,) indices of the prototypes that were kept, if that is what happened.

    Returns:
        State sliced like its parameter, or dropped where that is not known.
    """
    states = {}
    for name, parameter in model.named_parameters():
        if name not in carried.states:
            continue
        entry, old, new = carried.states[name], before[name], parameter.shape
        if old != new:
            changed = [axis for axis, size in enumerate(old) if len(old) == len(new) and size != new[axis]]
            if kept is None or len(changed) != 1 or new[changed[0]] != len(kept):
                continue
            entry = {**entry, "state": _slice(entry["state"], old, changed[0], kept)}
        states[name] = entry
    return OptimizerState(states, carried.ages)


def rate_factor(schedule: Schedule, age: int, progress: float) -> float:
    """By what a rate is multiplied.

    Args:
        schedule: of the stage.
        age: epochs that the group was trained before this one.
        progress: share of the stage's steps that are done, in [0, 1).

    Example:
        >>> decay = Schedule("step", size=5, gamma=0.1, first=1)
        >>> [round(rate_factor(decay, age, 0.0), 4) for age in range(11)]
        [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
        >>> round(rate_factor(Schedule("cosine", floor=0.1), 0, 0.5), 3)
        0.55
        >>> again = Schedule("cosine", cycles=2, part=(0.5, 1.0))
        >>> [round(rate_factor(again, 0, progress), 3) for progress in (0.0, 0.5)]
        [1.0, 0.5]
        >>> halves = Schedule("milestones", gamma=0.5, milestones=(30 / 70, 40 / 70))
        >>> [rate_factor(halves, 0, epoch / 70) for epoch in (29, 30, 39, 40)]
        [1.0, 0.5, 0.5, 0.25]
    """
    if schedule.kind == "step":
        return float(schedule.gamma ** ((age + schedule.first) // schedule.size))
    if schedule.kind == "milestones":
        # A milestone of 30/70 is reached at epoch 30 of 70, whatever the rounding.
        return float(schedule.gamma ** sum(milestone <= progress + 1e-9 for milestone in schedule.milestones))
    if schedule.kind == "cosine":
        start, stop = schedule.part
        place = start + (stop - start) * progress
        if schedule.cycles > 1:
            place = (
                place * schedule.cycles + 1e-9
            ) % 1.0  # a cycle ends where it should, whatever the rounding
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * place)) / 2
    return 1.0


def _named(model: Classifier, optimizer: Optimizer) -> list[tuple[str, str, nn.Parameter]]:
    """Group, name and parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [(group["name"], names[id(p)], p) for group in optimizer.param_groups for p in group["params"]]


def _slice(state: dict[str, Any], shape: torch.Size, axis: int, kept: Tensor) -> dict[str, Any]:
    """Tensors of the parameter's shape are sliced; the step count is not."""
    return {
        key: value.index_select(axis, kept.cpu())
        if isinstance(value, Tensor) and value.shape == shape
        else value
        for key, value in state.items()
    }


def _place(key: str, value: Any, parameter: nn.Parameter) -> Any:
    if not isinstance(value, Tensor):
        return value
    # Only fused optimisers count their steps on the device.
    home = key == "step" and parameter.device.type == "mps"
    return value.clone() if home else value.to(parameter.device, copy=True)
