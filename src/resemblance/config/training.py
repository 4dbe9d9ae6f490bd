"""How a model is trained, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from resemblance.config.options import option
from resemblance.config.values import check_fields

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "mps")


@dataclass
class TrainConfig:
    """Options of training; what is None comes from the method's recipe.

    Example:
        >>> TrainConfig(epochs=3).precision
        '32-true'
    """

    group: ClassVar[str] = "training"

    seed: int = option(0, "all random choices follow from it", least=0)
    epochs: int | None = option(None, "epochs in all; the stages of the method's recipe are scaled", least=1)
    batch_size: int | None = option(
        None, "images an optimiser step, over all devices and micro-batches", least=1
    )
    augment: str | None = option(None, "augmentation of the training images")
    precision: str = option("32-true", "floating point precision", choices=PRECISIONS)
    devices: int = option(1, "how many processes or GPUs train together", least=1)
    accelerator: str = option("auto", "what to train on", choices=ACCELERATORS)
    accumulate: int = option(1, "micro-batches an optimiser step, to save memory", least=1)
    workers: int = option(0, "processes that read images", least=0)
    patience: int | None = option(
        None, "end a stage after so many epochs without gain on validation, with its best weights", least=1
    )
    refit_on_all: bool = option(False, "after model choice, train again on training and validation images")
    resume: bool = option(False, "go on with the run in the output folder")
    checkpoint_every_steps: int | None = option(
        None, "optimiser steps between checkpoints (default: by the clock, each half minute)", least=1
    )
    progress: bool = option(True, "show progress and estimates of time")

    def __post_init__(self) -> None:
        check_fields(self)
