"""The state of a run between two transitions: everything that `--resume` needs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.text import reason
from resemblance.training.engine.checkpoints import atomic_save, load_checkpoint, other_version
from resemblance.training.engine.optimizers import OptimizerState
from resemblance.training.exact_types import wrong_field


class Measured(TypedDict):
    """The validation result of a model."""

    accuracy: float
    loss: float


class Candidate(Measured):
    """The best candidate so far, and the index of its stage."""

    stage: int


@dataclass
class RunState:
    """The state of a run at its start, after the training of a stage, or after an end action.

    Args:
        identity: everything that must be the same when the run is resumed.
        model: the model's state dict.
        facts: the model's facts.
        phase: 0 while the model is trained and chosen, 1 while it is trained again on all images.
        stage: index of the current or next stage.
        done: 0 before the stage is trained, 1 + k after its training and k of its end actions.
        step: optimiser steps before the stage.
        optimizer_state: optimiser state of all groups trained so far.
        epochs: after how many epochs the weights of each finished stage of phase 0 were kept.
        candidate: ``stage``, ``accuracy`` and ``loss`` of the best candidate so far.
        history: one row per epoch.
        notes: messages for the user.
        score: ``accuracy`` and ``loss`` of the final model.
        finished: whether the run is finished.
        reference: the reference of the similarities of the model before it is trained again on all images.
    """

    identity: dict[str, Any]
    model: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)
    phase: int = 0
    stage: int = 0
    done: int = 0
    step: int = 0
    optimizer_state: OptimizerState = field(default_factory=OptimizerState)
    epochs: list[int] = field(default_factory=list)
    candidate: Candidate | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    score: Measured | None = None
    finished: bool = False
    reference: dict[str, Any] | None = None

    @property
    def place(self) -> list[int]:
        """Phase and stage, which identify the current stage."""
        return [self.phase, self.stage]

    def copy_from(self, model: Classifier) -> None:
        """Copy the model's tensors and facts into the state."""
        self.model = copy_tensors(model)
        self.facts = plain(model.facts)

    def load_into(self, model: Classifier) -> None:
        """Load the state's tensors and facts into the model.

        Raises:
            UserError: if they do not fit it.
        """
        try:
            load_tensors(model, self.model)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"the saved state of the run does not fit the model: {reason(error)}; start it again in another "
                "--output"
            ) from error
        model.facts = dict(self.facts)

    def save(self, path: Path) -> None:
        """Write the state atomically, and keep the one before it."""
        content = {**self.__dict__, "optimizer_state": asdict(self.optimizer_state)}
        atomic_save(content, path, keep_previous=True)

    @classmethod
    def load(cls, path: Path) -> RunState:
        """Read a state that `save` wrote.

        Raises:
            UserError: if the file is damaged, or was written by another version, whose states have other fields.
        """
        content = load_checkpoint(path)
        try:
            state = cls(**{**content, "optimizer_state": OptimizerState(**content["optimizer_state"])})
        except (KeyError, TypeError):
            raise other_version(path) from None
        if wrong_field(state) or wrong_field(state.optimizer_state):
            raise other_version(path)
        return state


def copy_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all tensors in main memory."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def load_tensors(model: Classifier, tensors: dict[str, Tensor]) -> None:
    """Load tensors into a model that may have another number of prototypes than the saved one.

    Raises:
        RuntimeError: if names do not match.
    """
    saved = tensors.get("prototypes.vectors")
    if isinstance(model, PrototypeModel) and saved is not None and len(saved) < len(model.prototypes):
        model.keep(torch.arange(len(saved), device=model.device))
    for name, tensor in model.state_dict().items():
        if name in tensors and tensors[name].shape != tensor.shape:
            path, _, leaf = name.rpartition(".")
            owner = model.get_submodule(path)
            empty = torch.empty_like(tensors[name], device=tensor.device)
            setattr(owner, leaf, nn.Parameter(empty) if leaf in owner._parameters else empty)
    model.load_state_dict(tensors)


def plain(value: Any) -> Any:
    """Return the value as JSON would restore it: without classes and NumPy numbers.

    Example:
        >>> plain({"count": torch.tensor(3), "names": ("a", "b")})
        {'count': 3, 'names': ['a', 'b']}
    """

    def convert(item: Any) -> Any:
        return item.tolist() if hasattr(item, "tolist") else str(item)

    return json.loads(json.dumps(value, default=convert))
