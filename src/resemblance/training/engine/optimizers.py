"""Optimisers whose state is kept from stage to stage, and learning rates as functions of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Schedule, Stage


class ParameterState(TypedDict):
    """The state of one parameter: the optimiser's name, and its values by name."""

    kind: str
    state: dict[str, Any]


@dataclass
class OptimizerState:
    """The optimiser state that a stage leaves for the next one that trains the same parameters.

    Args:
        states: parameter name → ``kind`` of the optimiser and its state tensors.
        ages: group → epochs for which it was trained since its state was last reset.
    """

    states: dict[str, ParameterState] = field(default_factory=dict)
    ages: dict[str, int] = field(default_factory=dict)


def trained_parameters(model: Classifier, stage: Stage) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of the stage's groups.

    Raises:
        ValueError: if the model has no group of that name.
    """
    groups = model.parameter_groups()
    if unknown := [name for name in stage.groups if name not in groups]:
        raise ValueError(f"stage {stage.name!r} trains {unknown[0]!r}; {model.name} has {', '.join(groups)}")
    return {name: groups[name] for name in stage.groups}


def freeze_others(model: Classifier, stage: Stage) -> None:
    """Switch off the gradients of parameters outside the stage's groups."""
    model.requires_grad_(False)
    for parameters in trained_parameters(model, stage).values():
        for parameter in parameters:
            parameter.requires_grad_(True)


def build_optimizer(model: Classifier, stage: Stage, optimizer_state: OptimizerState) -> Optimizer:
    """Return the stage's optimiser, with the state of earlier stages except for groups that start fresh."""
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
        kept = optimizer_state.states.get(name)
        if kept is not None and kept["kind"] == stage.optimizer and not stage.forgets(group):
            # A copy: the optimiser changes it in place.
            optimizer.state[parameter] = {
                key: _place(key, value, parameter) for key, value in kept["state"].items()
            }
    return optimizer


def collect_state(
    model: Classifier, stage: Stage, optimizer: Optimizer, epochs: int, optimizer_state: OptimizerState
) -> OptimizerState:
    """Return the state after ``epochs`` of the stage: its own groups updated, the others as they were."""
    states, ages = dict(optimizer_state.states), dict(optimizer_state.ages)
    for _, name, parameter in _named(model, optimizer):
        state: dict[str, Any] = {
            key: value.detach().cpu().clone() if isinstance(value, Tensor) else value
            for key, value in optimizer.state.get(parameter, {}).items()
        }
        states[name] = {"kind": stage.optimizer, "state": state}
    for group in stage.groups:
        ages[group] = (0 if stage.forgets(group) else ages.get(group, 0)) + epochs
    return OptimizerState(states, ages)


def select_state(
    optimizer_state: OptimizerState, before: dict[str, torch.Size], model: Classifier, kept: Tensor | None
) -> OptimizerState:
    """Select the state of the prototypes that are left, for parameters whose shape an end action changed.

    Args:
        optimizer_state: the state before the action.
        before: shapes of the parameters before it.
        model: the model after it.
        kept: (K,) indices of the prototypes that were kept, if the action dropped some.

    Returns:
        The state, sliced like its parameters; it is dropped where it is unknown how a parameter changed.
    """
    states = {}
    for name, parameter in model.named_parameters():
        if name not in optimizer_state.states:
            continue
        entry, old, new = optimizer_state.states[name], before[name], parameter.shape
        if old != new:
            changed = [axis for axis, size in enumerate(old) if len(old) == len(new) and size != new[axis]]
            if kept is None or len(changed) != 1 or new[changed[0]] != len(kept):
                continue
            entry = {"kind": entry["kind"], "state": _slice(entry["state"], old, changed[0], kept)}
        states[name] = entry
    return OptimizerState(states, optimizer_state.ages)


def rate_factor(schedule: Schedule, age: int, progress: float) -> float:
    """Return the factor by which a learning rate is multiplied.

    Args:
        schedule: the schedule of the stage or group.
        age: epochs for which the group was trained before this one.
        progress: the share of the stage's steps that are done, in [0, 1).

    Example:
        >>> decay = Schedule("step", size=5, gamma=0.1, first=1)
        >>> [round(rate_factor(decay, age, 0.0), 4) for age in range(11)]
        [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]
        >>> round(rate_factor(Schedule("cosine", floor=0.1), 0, 0.5), 3)
        0.55
        >>> again = Schedule("cosine", cycles=2, part=(0.5, 1.0))
        >>> [round(rate_factor(again, 0, progress), 3) for progress in (0.0, 0.5)]
        [1.0, 0.5]
        >>> [rate_factor(Schedule(warmup=0.1), 0, progress) for progress in (0.05, 0.1, 0.5)]
        [0.5, 1.0, 1.0]
        >>> halves = Schedule("milestones", gamma=0.5, milestones=(30 / 70, 40 / 70))
        >>> [rate_factor(halves, 0, epoch / 70) for epoch in (29, 30, 39, 40)]
        [1.0, 0.5, 0.5, 0.25]
    """
    if progress < schedule.warmup:
        return progress / schedule.warmup * rate_factor(replace(schedule, warmup=0.0), age, progress)
    if schedule.kind == "step":
        return float(schedule.gamma ** ((age + schedule.first) // schedule.size))
    if schedule.kind == "milestones":
        # The tolerance: a milestone of 30/70 is reached at epoch 30 of 70 in spite of rounding.
        return float(schedule.gamma ** sum(milestone <= progress + 1e-9 for milestone in schedule.milestones))
    if schedule.kind == "cosine":
        start, stop = schedule.part
        place = start + (stop - start) * progress
        if schedule.cycles > 1:
            place = (place * schedule.cycles + 1e-9) % 1.0  # a cycle ends in time in spite of rounding
        return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * place)) / 2
    return 1.0


def _named(model: Classifier, optimizer: Optimizer) -> list[tuple[str, str, nn.Parameter]]:
    """Return group, name and parameter of each trained parameter."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [(group["name"], names[id(p)], p) for group in optimizer.param_groups for p in group["params"]]


def _slice(state: dict[str, Any], shape: torch.Size, axis: int, kept: Tensor) -> dict[str, Any]:
    """Slice the tensors of the parameter's shape; the step count stays."""
    return {
        key: value.index_select(axis, kept.cpu())
        if isinstance(value, Tensor) and value.shape == shape
        else value
        for key, value in state.items()
    }


def _place(key: str, value: Any, parameter: nn.Parameter) -> Any:
    if not isinstance(value, Tensor):
        return value
    # Only fused optimisers count their steps on the device, and those on MPS are not fused.
    on_cpu = key == "step" and parameter.device.type == "mps"
    return value.clone() if on_cpu else value.to(parameter.device, copy=True)
