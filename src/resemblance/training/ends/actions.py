"""What a stage can do after its last epoch, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import torch
from torch import Tensor

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.sources.source import Source


@dataclass
class ActionContext:
    """What an end action works with.

    Under several processes the actions run in the first one, and the others receive the result.

    Args:
        train: the training images; actions look at them without augmentation.
        workers: loader processes.
        batch_size: images a batch; no result depends on it.
        device: where the model is.
        seed: for whatever is random in an action; a function of the run's seed and the stage.
        progress: whether to show progress.
        notes: lines for the user; an action may add some.
        kept: a pruning action leaves here the indices (K,) of the prototypes that it kept, so that the
            optimiser's state can follow.
    """

    train: Source
    workers: int = 0
    batch_size: int = 128
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    progress: bool = False
    notes: list[str] = field(default_factory=list)
    kept: Tensor | None = None


Action = Callable[[PrototypeModel, ActionContext], None]

END_ACTIONS: dict[str, Action] = {}
# Those that several methods share; a method's own ones are named by its model's `end_actions`.
SHARED = {
    "assign": "resemblance.training.ends.assignment",
    "project": "resemblance.training.ends.projection",
    "prune": "resemblance.training.ends.pruning",
    "usage": "resemblance.training.ends.usage",
    "concepts": "resemblance.training.ends.concepts",
}


def action(name: str) -> Callable[[Action], Action]:
    """Decorator that enters a function under the name that recipes use."""

    def enter(function: Action) -> Action:
        END_ACTIONS[name] = function
        return function

    return enter


def run(name: str, model: Classifier, context: ActionContext) -> None:
    """Run the end action of that name: the model is in evaluation mode and on the context's device.

    Raises:
        KeyError: if there is no such action.
    """
    if not isinstance(model, PrototypeModel):
        raise UserError(f"{model.name} has no prototypes, which the end action {name!r} is about")
    action_ = find(name, model)
    model.eval()
    action_(model, context)


def find(name: str, model: Classifier) -> Action:
    """Return an end action, importing the module that has it.

    Raises:
        KeyError: if there is no action of that name.
    """
    homes = {**SHARED, **model.end_actions}
    if name not in END_ACTIONS and name in homes:
        import_module(homes[name])
    if name not in END_ACTIONS:
        raise KeyError(f"no end action {name!r}; there are {', '.join(sorted({*END_ACTIONS, *homes}))}")
    return END_ACTIONS[name]
