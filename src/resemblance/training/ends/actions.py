"""End actions: functions that a stage runs after its last epoch, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.batch import EncodedBatch
from resemblance.data.sources.source import Source


@dataclass
class ActionContext:
    """The data and settings that an end action works with.

    Under several processes the actions run in the first one, and the others receive the result.

    Args:
        train: the training images; actions read them without augmentation.
        workers: loader processes.
        batch_size: images per batch; no result depends on it.
        device: the model's device.
        seed: for the random numbers of an action; a function of the run's seed and the stage.
        progress: whether to show progress.
        notes: messages for the user; an action may add some.
        kept: a pruning action stores here the indices (K,) of the prototypes that it kept, so that the
            optimiser's state can be cut in the same way.
        balanced: whether classes count alike in what an action fits, whatever their numbers of images.
        encoded: returns the training images as a frozen encoder's results, in batches of a size; None to read images.
    """

    train: Source
    workers: int = 0
    batch_size: int = 128
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    progress: bool = False
    notes: list[str] = field(default_factory=list)
    kept: Tensor | None = None
    balanced: bool = False
    encoded: Callable[[int], Iterable[EncodedBatch]] | None = None


Action = Callable[[Any, ActionContext], None]  # of the model that names it

END_ACTIONS: dict[str, Action] = {}
# Actions that several methods share; those of one method are named in its model's `end_actions`.
SHARED_ACTIONS = {
    "assign": "resemblance.training.ends.assignment",
    "project": "resemblance.training.ends.projection",
    "prune": "resemblance.training.ends.pruning",
    "usage": "resemblance.training.ends.usage",
    "concepts": "resemblance.training.ends.concepts",
}


def action(name: str) -> Callable[[Action], Action]:
    """Return a decorator that registers a function under the name that recipes use."""

    def register(function: Action) -> Action:
        END_ACTIONS[name] = function
        return function

    return register


def run(name: str, model: Classifier, context: ActionContext) -> None:
    """Run the end action of that name, with the model in evaluation mode and on the context's device.

    Raises:
        KeyError: if there is no such action.
    """
    if not isinstance(model, PrototypeModel) and name not in model.end_actions:
        raise UserError(f"{model.name} has no prototypes, which the end action {name!r} needs")
    action_ = find(name, model)
    model.eval()
    action_(model, context)


def find(name: str, model: Classifier) -> Action:
    """Return an end action; import the module that defines it, if necessary.

    Raises:
        KeyError: if there is no action of that name.
    """
    modules = {**SHARED_ACTIONS, **model.end_actions}
    if name not in END_ACTIONS and name in modules:
        import_module(modules[name])
    if name not in END_ACTIONS:
        raise KeyError(f"no end action {name!r}; there are {', '.join(sorted({*END_ACTIONS, *modules}))}")
    return END_ACTIONS[name]
