"""A recipe as text, in which nothing is left to a default, so that tests can state a paper's in full."""

from __future__ import annotations

from dataclasses import replace

from resemblance.core.recipe import Group, Recipe, Schedule, Stage


def recipe_lines(recipe: Recipe) -> list[str]:
    """One line for batches and augmentation, then one per stage.

    Example:
        >>> joint = {"encoder": Group(1e-4, 1e-3), "last": Group(0.05)}
        >>> decay = Schedule("step", size=5, gamma=0.1)
        >>> recipe_lines(Recipe((Stage("joint", 9, joint, schedule=decay, end=("project",)),), 80))
        ['batches of 80, augment none', 'joint: 9 epochs of adam, encoder 0.0001 decay 0.001, last 0.05, \
x 0.1 every 5 epochs; then project']
    """
    return [
        f"batches of {recipe.batch_size}, augment {recipe.augment}",
        *(_stage_line(stage) for stage in recipe.stages),
    ]


def least_steps(groups: str) -> str:
    """The end of the line of a first stage: one that leaves the encoder frozen makes at least 200 steps."""
    return "" if groups.startswith("encoder") else "; at least 200 steps"


def _stage_line(stage: Stage) -> str:
    work = [f"{stage.epochs} epochs of {stage.optimizer}"]
    if stage.momentum:
        work.append(f"momentum {stage.momentum:g}")
    work += [_group(name, group) for name, group in stage.groups.items()]
    if stage.groups:
        work.append(_schedule(stage.schedule))
    marks = [f"then {', '.join(stage.end)}"] if stage.end else []
    if stage.fresh:
        marks.append("fresh" if stage.fresh is True else f"fresh {', '.join(stage.fresh)}")
    marks += [] if stage.select == "last" else [stage.select]
    marks += [name for name in ("candidate", "clearly", "measured", "chooses") if getattr(stage, name)]
    marks += [f"at least {stage.least_steps} steps"] if stage.least_steps else []
    marks += [] if stage.scales else ["not scaled"]
    return f"{stage.name}: " + "; ".join([", ".join(work), *marks])


def _group(name: str, group: Group) -> str:
    decay = f" decay {group.weight_decay:g}" if group.weight_decay else ""
    own = f" ({_schedule(group.schedule)})" if group.schedule else ""
    return f"{name} {group.lr:g}{decay}{own}"


def _schedule(schedule: Schedule) -> str:
    if schedule.warmup:
        return f"{_schedule(replace(schedule, warmup=0.0))} after a rise over {schedule.warmup:g}"
    gamma, size = schedule.gamma, schedule.size
    if schedule.kind == "step":
        first = f", {schedule.first} counted as over" if schedule.first else ""
        return f"x {gamma:g} every {size} epochs{first}"
    if schedule.kind == "milestones":
        return f"x {gamma:g} at {', '.join(f'{share:.4f}' for share in schedule.milestones)}"
    if schedule.kind == "cosine":
        start, stop = schedule.part
        part = "" if schedule.part == (0.0, 1.0) else f" from {start:.4f} to {stop:.4f}"
        cycles = f" in {schedule.cycles} cycles" if schedule.cycles > 1 else ""
        return f"cosine to x {schedule.floor:g}{part}{cycles}"
    return schedule.kind
