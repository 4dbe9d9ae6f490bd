"""Train a model by its recipe; a run that was killed at any time can be resumed with the same result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.processes import processes
from resemblance.config.training import TrainConfig
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Recipe
from resemblance.core.reference import Reference
from resemblance.data.augment import get_augment
from resemblance.data.sources.source import DataSplits
from resemblance.training.cached.temporary_latents import TemporaryLatents
from resemblance.training.devices.everywhere import run_everywhere
from resemblance.training.engine.checkpoints import atomic_save, check_checkpoint, previous_path
from resemblance.training.engine.devices import (
    DistributedContext,
    find_accelerator,
    pickle_job,
    run_processes,
)
from resemblance.training.engine.identity import check_same, identify, warn_of_other_threads
from resemblance.training.engine.interrupts import (
    Interrupts,
    receive_signals,
    resumable,
    resume_hint,
)
from resemblance.training.engine.job import Job
from resemblance.training.engine.lock import lock_folder
from resemblance.training.engine.order import plan
from resemblance.training.engine.run import Run
from resemblance.training.engine.state import RunState
from resemblance.training.small_batches import check_batch_norm


@dataclass
class CheckedRun:
    """A run that can be trained, as `check_fit` returns it.

    Args:
        job: the model, the images, the recipe and the paths.
        distributed: the processes to run in.
        resumed: ``""`` for a new run, ``"resumed"``, or ``"finished"`` if there is nothing left to do.
        content: the pickled job for the processes of several devices.
        notes: messages for the user about the recipe.
    """

    job: Job
    distributed: DistributedContext
    resumed: str
    content: bytes = b""
    notes: list[str] = field(default_factory=list)


@dataclass
class FitResult:
    """The result of training.

    Args:
        history: one row per epoch and one per candidate: losses, learning rates, accuracies.
        validation_accuracy: of the chosen model; None without validation images.
        notes: messages for the user.
        resumed: ``""`` for a new run, ``"resumed"``, or ``"finished"`` if there was nothing left to do.
        reference: the reference of the model's similarities from before it was trained on all images; else None.
        latents: the latents of the chosen model's encoder, as far as they were kept.
    """

    history: list[dict[str, Any]]
    validation_accuracy: float | None
    notes: list[str] = field(default_factory=list)
    resumed: str = ""
    reference: Reference | None = None
    latents: TemporaryLatents | None = None


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
        UserError: if the run folder contains another run or is in use by another process, a checkpoint is damaged,
            settings do not fit, or the loss is not finite.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP: at once after the second of them, else with a checkpoint written.
    """
    with lock_folder(Path(run)):
        return run_fit(check_fit(model, splits, run, config))


def check_fit(
    model: Classifier, splits: DataSplits, run: Path | str, config: TrainConfig | None = None
) -> CheckedRun:
    """Check everything that can be checked before training, and write nothing; the arguments are those of `fit`.

    Call it, and `run_fit`, with the folder locked.

    Raises:
        UserError: if the run folder contains another run or damaged checkpoints, or settings do not fit.
    """
    config, run = config or TrainConfig(), Path(run)
    accelerator = find_accelerator(config.accelerator, config.devices)
    if processes() > 1:  # that torchrun has started, on all machines
        config = replace(config, devices=processes())
    recipe = apply_config(model.recipe(), config)
    if getattr(model.config, "freeze_encoder", False):
        recipe = recipe.without(encoder_groups(model))
    recipe = with_remedies(recipe, model, config)
    if config.precision == "16-mixed" and accelerator == "cpu":
        raise UserError("--precision 16-mixed needs a GPU; on a CPU use bf16-mixed")
    get_augment(recipe.augment)  # refuses an unknown name
    steps = plan(len(splits.train), recipe.batch_size, config.devices, config.accumulate).steps
    check_batch_norm(model, recipe, len(splits.train), config)
    planned, recipe = recipe, recipe.lengthened(steps)
    if not len(splits.val):  # nothing could tell that these stages improve the model
        recipe = replace(recipe, stages=tuple(stage for stage in recipe.stages if not stage.clearly))
    job = Job(model, splits, run, config, recipe, identify(model, recipe, splits, config))
    resumed = _resumed(job)
    distributed = DistributedContext(accelerator, world=config.devices)
    several = config.devices > 1 and resumed != "finished"
    notes = _longer_stages(planned, recipe)
    return CheckedRun(job, distributed, resumed, pickle_job(job) if several else b"", notes)


def run_fit(checked: CheckedRun) -> FitResult:
    """Train or continue a run that `check_fit` has checked.

    Raises:
        UserError: if the loss is not finite, or a checkpoint cannot be written.
        Interrupted: after Ctrl-C, SIGTERM or SIGHUP: at once after the second of them, else with a checkpoint written.
    """
    job = checked.job
    if not checked.resumed:
        _write_start(job, checked.notes)
    if checked.content and processes() > 1:
        run_everywhere(run_job, checked.content, checked.distributed.accelerator)
    elif checked.content:
        run_processes(run_job, checked.content, checked.distributed, resume_hint(job.folder))
    elif checked.resumed != "finished":
        run_job(checked.distributed, job)
    state = RunState.load(job.state_path)
    _remove_obsolete(job, state)
    job.model.cpu().requires_grad_(True)
    state.load_into(job.model)
    _check_weights(job.model)
    job.model.eval()
    accuracy = None if state.score is None else state.score["accuracy"]
    reference = None
    if state.reference is not None:
        reference = Reference.from_dict(state.reference, job.model.spec.num_classes, str(job.state_path))
    return FitResult(state.history, accuracy, state.notes, checked.resumed, reference, job.latents)


def run_job(distributed: DistributedContext, job: Job) -> None:
    """Continue the run from its saved state to its end."""
    interrupts = Interrupts(resume_hint(job.folder), distributed.stop_requested)
    with resumable(job.folder), interrupts:
        if distributed.world > 1:
            receive_signals()
        Run(distributed, job, interrupts).finish()


def _longer_stages(planned: Recipe, recipe: Recipe) -> list[str]:
    """Return a note for each stage that has more epochs than planned."""
    before = {stage.name: stage.epochs for stage in planned.stages}
    return [
        f"stage {stage.name!r} has {stage.epochs} epochs instead of {before[stage.name]}, to make at least "
        f"{stage.least_steps} steps"
        for stage in recipe.stages
        if stage.epochs > before[stage.name]
    ]


def encoder_groups(model: Classifier) -> frozenset[str]:
    """Return the parameter groups of the encoder that ``--freeze-encoder`` freezes.

    Raises:
        UserError: if the encoder cannot be frozen: it is no part of its own, or nothing has trained it.
    """
    config: Any = model.config
    if not model.traits.encoder_groups:
        raise UserError(f"{model.name} trains its encoder together with the rest; leave out --freeze-encoder")
    if config.from_scratch and getattr(config, "start", None) is None:
        raise UserError("--freeze-encoder keeps random weights: add --weights, pretrained or a file")
    return model.traits.encoder_groups


def with_remedies(recipe: Recipe, model: Classifier, config: TrainConfig) -> Recipe:
    """Check that adversarial training and JPEG augmentation have an effect, and return the recipe for them.

    A model that was made before any adversarial step, as a linear probe is, is no candidate: validation, on images as
    they are, would prefer it to every robust one.

    Raises:
        UserError: if no stage makes a training step, or the scores have no gradient to attack them by.
    """
    if not config.remedy:
        return recipe
    trained = [bool(stage.epochs and stage.groups) for stage in recipe.stages]
    if not any(trained):
        raise UserError(
            f"{config.remedy} changes the images of training steps, but this {model.name} makes none: its classifier "
            f"is fitted to the embeddings of a frozen encoder; leave out {config.remedy} or --freeze-encoder"
        )
    if config.adversarial == "none":
        return recipe
    if not model.traits.differentiable:
        raise UserError(
            f"--adversarial {config.adversarial} follows the gradient of the scores, which this {model.name} does not "
            "have; train it with --inference distributed"
        )
    first = trained.index(True)
    stages = [
        replace(stage, candidate=stage.candidate and number >= first, clearly=False)
        for number, stage in enumerate(recipe.stages)
    ]
    return replace(recipe, stages=tuple(stages))


def _check_weights(model: Classifier) -> None:
    """Refuse weights that the last step made infinite or NaN: no loss after it shows them without validation."""
    for name, parameter in model.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise UserError(
                f"training has diverged: it ended with infinite or NaN values in {name}; try a smaller learning rate, "
                "another --seed or --precision 32-true"
            )


def _resumed(job: Job) -> str:
    """Return what `CheckedRun.resumed` says of a run folder."""
    path = job.state_path
    if not path.exists():
        if previous_path(path).exists():
            raise UserError(
                f"{path} is missing; rename {previous_path(path).name} to {path.name}, and --resume continues from "
                "there with the same result"
            )
        if not job.config.resume and path.parent.is_dir() and any(path.parent.iterdir()):
            raise UserError(f"{job.folder} already contains checkpoints; choose another --output")
        return ""
    if not job.config.resume:
        raise UserError(
            f"{job.folder} contains a run; add --resume to continue it, or choose another --output"
        )
    state = RunState.load(path)
    check_same(state.identity, job.identity, job.folder)
    if not state.finished:
        warn_of_other_threads(state.identity, job.identity)
    for other in (job.stage_path, job.candidate_path, job.start_path):
        if other.exists() and not state.finished:
            check_checkpoint(other)
    return "finished" if state.finished else "resumed"


def _remove_obsolete(job: Job, state: RunState) -> None:
    """Remove what a finished run does not need; the run may have been killed before it was removed."""
    obsolete = [path for path in (job.candidate_path, job.start_path) if path.exists()]
    if obsolete:
        # Once more, since the state that is kept before it could not continue without these files.
        state.save(job.state_path)
    for path in obsolete:
        path.unlink()


def _write_start(job: Job, notes: list[str]) -> None:
    """Write the state of a new run."""
    state = RunState(job.identity, {}, notes=notes)
    state.copy_from(job.model)
    if job.config.refit_on_all:
        atomic_save({"model": state.model, "facts": state.facts}, job.start_path)
    state.save(job.state_path)
