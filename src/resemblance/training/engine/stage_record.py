"""The progress of a stage, which is our part of Lightning's checkpoint within the stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from torch import Tensor

from resemblance.training.engine.checkpoints import load_checkpoint, other_version
from resemblance.training.engine.state import Measured
from resemblance.training.exact_types import has_type, wrong_field


class BestEpoch(Measured):
    """The best epoch so far, with the model's tensors."""

    epoch: int
    model: dict[str, Tensor]


@dataclass
class Progress:
    """The measurements of a stage so far; part of its checkpoint.

    Args:
        history: one row per epoch.
        best: ``accuracy``, ``loss``, ``epoch`` and ``model`` of the best epoch, if one is to be kept.
        stopped: whether the stage was stopped early.
        sums: (T,) sums of the loss terms over the micro-batches of this epoch.
        count: micro-batches in ``sums``.
        terms: names of the terms.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    best: BestEpoch | None = None
    stopped: bool = False
    sums: Tensor | None = None
    count: int = 0
    terms: list[str] = field(default_factory=list)


class StageRecord(TypedDict):
    """Our part of the checkpoint: the number of the stage, its optimiser steps, and the fields of `Progress`."""

    number: int
    step: int
    progress: dict[str, Any]


def read_record(path: Path) -> StageRecord:
    """Read our part of the checkpoint within a stage.

    Raises:
        UserError: if the file is damaged, or was written by another version.
    """
    content = load_checkpoint(path)
    record: StageRecord | None = content.get("resemblance") if isinstance(content, dict) else None
    if record is None or not has_type(record, StageRecord):
        raise other_version(path)
    try:
        progress = Progress(**record["progress"])
    except TypeError:
        raise other_version(path) from None
    if wrong_field(progress):
        raise other_version(path)
    return record
