"""PIP-Net's schedule: parts, then the scoring sheet, then both (Nauta et al. 2023, section 4 and the authors' code).

The encoder's rate falls over all epochs in which it is trained. The rate of the scoring sheet falls and restarts, so
that prototypes without a weight can get one again. The authors' scheduler counts the stage "head" as well, in which
the encoder is not trained: the encoder's rate ends above its floor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from resemblance.core.recipe import Group, Recipe, Schedule, Stage
from resemblance.methods.pipnet.config import PIPNetConfig

HEAD_RATE, HEAD_FLOOR = 0.05, 1e-3
PRETRAIN, HEAD, LAST_LAYERS, ALL = "pretrain", "head", "last layers", "all"


def schedule(config: PIPNetConfig, present: Collection[str]) -> Recipe:
    """Return the stages for a model with the parameter groups ``present``.

    Example:
        >>> [stage.name for stage in schedule(PIPNetConfig(), ("free", "later", "last")).stages]
        ['pretrain', 'head', 'last layers', 'all']
    """
    whole, head = config.classified_epochs, config.head_epochs
    frozen = config.frozen_epochs if "later" in present else 0
    rates = {"free": config.rate, "later": config.rate, "addon": 10 * config.rate}
    rates = {name: rate for name, rate in rates.items() if name in present}
    first = [name for name in rates if name != "later"]

    def groups(start: int, stop: int, names: Iterable[str]) -> dict[str, Group]:
        """Return the groups that train in the epochs from ``start`` to ``stop``, counted after pretraining."""
        fall = max(whole if config.variant == "released" else whole - head, 1)
        part = (max(start - head, 0) / fall, max(stop - head, 0) / fall)
        falling = Schedule("cosine", floor=0.01, part=part)
        restarting = Schedule(
            "cosine",
            floor=HEAD_FLOOR / HEAD_RATE,
            part=(start / max(whole, 1), stop / max(whole, 1)),
            cycles=max(1, round(whole / (5 if whole <= 30 else 10))),
        )
        encoder = {name: Group(rates[name], schedule=falling) for name in names}
        return {**encoder, "last": Group(HEAD_RATE, schedule=restarting)}

    early = {name: Group(rates[name]) for name in first}
    stages = (
        Stage(PRETRAIN, config.pretrain_epochs, early, "adamw", schedule=Schedule("cosine", floor=0.01)),
        Stage(HEAD, head, groups(0, head, ()), "adamw"),
        Stage(LAST_LAYERS, frozen, groups(head, head + frozen, first), "adamw", fresh=tuple(first)),
        Stage(
            ALL,
            whole - head - frozen,
            groups(head + frozen, whole, rates),
            "adamw",
            fresh=() if frozen else tuple(first),
            end=("concepts", "assign", "usage"),
        ),
    )
    return Recipe(tuple(stage for stage in stages if stage.epochs or stage.end), 64, "pipnet")
