"""ProtoTree's schedule: frozen encoder, all layers, pruning, projection (Nauta et al. 2021, sections 4.3 and 5.1)."""

from __future__ import annotations

from collections.abc import Collection

from resemblance.core.recipe import LEAST_FROZEN_STEPS, Group, Recipe, Schedule, Stage
from resemblance.methods.prototree.config import ProtoTreeConfig

HALVED_AFTER = (0.6, 0.7, 0.8, 0.9)  # shares of all epochs: 60, 70, 80 and 90 of 100


def schedule(config: ProtoTreeConfig, present: Collection[str]) -> Recipe:
    """Return the stages for a model with the parameter groups ``present``.

    An encoder without pretrained weights has nothing to preserve: it is trained from the start, at 1e-3. The user's own
    network counts as pretrained.

    Example:
        >>> [stage.name for stage in schedule(ProtoTreeConfig(weights="FILE"), ("encoder", "prototypes")).stages]
        ['frozen', 'all', 'prune', 'project']
    """
    rates = {"encoder": 1e-3 if config.from_scratch else 1e-5}
    joint = {name: Group(rates.get(name, 1e-3)) for name in present}
    frozen = {name: group for name, group in joint.items() if name != "encoder"}
    total = config.frozen_epochs + config.joint_epochs
    before = 0 if config.from_scratch else config.frozen_epochs
    halved = tuple((total * share - before) / max(total - before, 1) for share in HALVED_AFTER)
    halves = Schedule("milestones", gamma=0.5, milestones=halved)
    stages = [
        Stage("frozen", before, frozen, optimizer="adamw", least_steps=LEAST_FROZEN_STEPS),
        Stage("all", total - before, joint, optimizer="adamw", schedule=halves, measured=True),
        Stage("prune", 0, {}, end=("prune_tree",), measured=True, scales=False),
        Stage("project", 0, {}, end=("project", "usage"), measured=True, scales=False),
    ]
    return Recipe(tuple(stages if before else stages[1:]), batch_size=64)
