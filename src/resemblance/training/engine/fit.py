"""Train a model by its recipe; a run that was killed at any time can be resumed with the same result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.data.augment import get_augment
from resemblance.data.sources.source import DataSplits
from resemblance.training.engine.checkpoints import atomic_save
from resemblance.training.engine.devices import DistributedContext, find_accelerator, run_processes
from resemblance.training.engine.identity import check_same, identify
from resemblance.training.engine.job import Job
from resemblance.training.engine.order import plan
from resemblance.training.engine.run import run_job
from resemblance.training.engine.state import RunState


@dataclass
class FitResult:
    """The result of training.

    Args:
        history: one row per epoch and one per candidate: losses, learning rates, accuracies.
        validation_accuracy: of the chosen model; None without validation images.
        notes: messages for the user.
        resumed: ``""`` for a new run, ``"resumed"``, or ``"finished"`` if there was nothing left to do.
    """

    history: list[dict[str, Any]]
    validation_accuracy: float | None
    notes: list[str] = field(default_factory=list)
    resumed: str = ""


def apply_config(recipe: Recipe, config: TrainConfig) -> Recipe:
    """Return the method's recipe with the user's epochs, batch size and augmentation."""
    recipe = recipe.scaled(config.epochs)
    return replace(
        recipe,
        batch_size=config.batch_size or recipe.batch_size,
        augment=config.augment or recipe.augment,
    )


def fit(
    model: Classifier, splits: DataSplits, run: Path | str, config: TrainConfig | None = None
) -> FitResult:
    """Train a model by its recipe.

    Batch order, augmentation and noise are functions of the seed and the place in the run, and checkpoints
    are complete or absent: a run that was killed and resumed ends with the same weights, bit by bit, as an
    uninterrupted one (on a CPU). The test images are never read. With several devices, end actions like
    projection run in the first process and the others receive the result.

    Args:
        model: trained in place; ends in evaluation mode with the weights of the chosen model, on the CPU.
        splits: training and validation images.
        run: folder for checkpoints and logs.
        config: the settings of training; by default those of `TrainConfig`.

    Raises:
        UserError: if the run folder contains another run, settings do not fit, or the loss is not finite.
        Interrupted: after Ctrl-C, when a checkpoint has been written.
    """
    config, run = config or TrainConfig(), Path(run)
    recipe = apply_config(model.recipe(), config)
    accelerator = find_accelerator(config.accelerator, config.devices)
    if config.precision == "16-mixed" and accelerator == "cpu":
        raise UserError("--precision 16-mixed needs a GPU; on a CPU use bf16-mixed")
    get_augment(recipe.augment)  # refuses an unknown name before anything is written
    plan(len(splits.train), recipe.batch_size, config.devices, config.accumulate)
    job = Job(model, splits, run, config, recipe, identify(model, recipe, splits, config))
    resumed = _start_or_resume(job)
    if resumed != "finished":
        if config.devices > 1:
            run_processes(run_job, job, DistributedContext(accelerator, world=config.devices))
        else:
            run_job(DistributedContext(accelerator), job)
    state = RunState.load(job.state_path)
    model.cpu().requires_grad_(True)
    state.load_into(model)
    _check_weights(model)
    model.eval()
    accuracy = None if state.score is None else state.score["accuracy"]
    return FitResult(state.history, accuracy, state.notes, resumed)


def _check_weights(model: Classifier) -> None:
    """Refuse weights that the last step made infinite or NaN: no loss after it shows them without validation."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise UserError(
                f"training has diverged: it ended with infinite or NaN values in {name}; try a smaller learning rate, "
                "another --seed or --precision 32-true"
            )


def _start_or_resume(job: Job) -> str:
    path = job.state_path
    if not path.exists():
        if not job.config.resume and path.parent.is_dir() and any(path.parent.iterdir()):
            raise UserError(f"{job.folder} already contains checkpoints; choose another --output")
        state = RunState(job.identity, {})
        state.copy_from(job.model)
        if job.config.refit_on_all:
            atomic_save({"model": state.model, "facts": state.facts}, job.start_path)
        state.save(path)
        return ""
    if not job.config.resume:
        raise UserError(
            f"{job.folder} contains a run; add --resume to continue it, or choose another --output"
        )
    state = RunState.load(path)
    check_same(state.identity, job.identity, job.folder)
    return "finished" if state.finished else "resumed"
