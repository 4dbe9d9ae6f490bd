"""Train a stage by one call of Lightning's `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch.utils.data import DataLoader, Dataset

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.recipe import Stage
from resemblance.data.loader import identity_collate, leave_signals_to_main_process
from resemblance.training.engine.checkpoints import AtomicCheckpointIO, Saver, unfit
from resemblance.training.engine.devices import DistributedContext, quiet_lightning
from resemblance.training.engine.interrupts import Interrupts
from resemblance.training.engine.module import StageModule, StageSettings
from resemblance.training.engine.optimizers import OptimizerState, collect_state, freeze_others
from resemblance.training.engine.order import StepBatches
from resemblance.training.engine.stage_record import Progress
from resemblance.training.engine.state import load_tensors


@dataclass
class StageResult:
    """The result of a stage.

    Args:
        optimizer_state: the state of the optimiser.
        progress: rows, and the best epoch.
        epochs: after how many epochs the weights were kept.
        steps: optimiser steps made.
    """

    optimizer_state: OptimizerState
    progress: Progress
    epochs: int
    steps: int


def train_stage(
    model: Classifier,
    stage: Stage,
    dataset: Dataset[Any],
    settings: StageSettings,
    distributed: DistributedContext,
    *,
    path: Path,
    resume: bool = False,
    restored: Path | None = None,
    workers: int = 0,
    precision: str = "32-true",
    every: int | None = None,
    interrupts: Interrupts,
) -> StageResult:
    """Train the model by the stage, starting from its checkpoint if it is to be resumed.

    Args:
        model: trained in place; ends with the weights of the best epoch where these were kept.
        stage: with at least one epoch and one group.
        dataset: indexed by (epoch, index) pairs.
        settings: the settings with which the stage is trained.
        distributed: the processes of the run.
        path: the checkpoint within the stage.
        resume: whether to start from that checkpoint.
        restored: the checkpoint that the model was read from, if nothing has been trained since.
        workers: loader processes.
        precision: Lightning's name of the precision.
        every: optimiser steps between checkpoints; None: by time.
        interrupts: checked after each step.
    """
    # Restored at the end: matrix products are rounded differently with gradients, and a resumed run does not know
    # which parameters the last stage left frozen.
    requires_grad = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    freeze_others(model, stage)
    module = StageModule(model, stage, settings)
    trainer = _trainer(stage, settings, distributed, precision, Saver(path, every, interrupts, module.check))
    batches = StepBatches(
        settings.plan,
        settings.seed,
        settings.number,
        lambda: trainer.global_step,
        settings.rank,
        settings.balanced,
    )
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=identity_collate,
        persistent_workers=workers > 0,
        worker_init_fn=leave_signals_to_main_process if workers else None,
        pin_memory=distributed.accelerator == "gpu",
    )
    with quiet_lightning(), _restoring(path if resume else restored, module):
        trainer.fit(module, loader, ckpt_path=path if resume else None)
    model.zero_grad(set_to_none=True)
    for parameter, required in requires_grad:
        parameter.requires_grad_(required)
    progress, trained = module.progress, len(module.progress.history)
    optimizer_state = collect_state(model, stage, trainer.optimizers[0], trained, settings.optimizer_state)
    if progress.best is not None:
        load_tensors(model, progress.best["model"])
    epochs = trained if progress.best is None else int(progress.best["epoch"])
    return StageResult(optimizer_state, progress, epochs, trained * settings.plan.steps)


@contextmanager
def _restoring(path: Path | None, module: StageModule) -> Iterator[None]:
    """Report an error before the first step after a checkpoint as one of the checkpoint, which did not fit."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if path is None or module.stepped:
            raise
        raise unfit(path, error) from error


def _trainer(
    stage: Stage, settings: StageSettings, distributed: DistributedContext, precision: str, saver: Saver
) -> Trainer:
    strategy: Any = SingleDeviceStrategy(device=distributed.device)
    if distributed.world > 1:
        strategy = DDPStrategy(find_unused_parameters=True)
    with quiet_lightning():
        return Trainer(
            accelerator=distributed.accelerator,
            devices=distributed.world // distributed.machines,
            num_nodes=distributed.machines,
            strategy=strategy,
            precision=precision,  # type: ignore[arg-type]
            max_epochs=stage.epochs,
            accumulate_grad_batches=settings.plan.accumulate,
            callbacks=[saver],
            # Lightning looks for a cluster unless the environment is given.
            plugins=[LightningEnvironment(), AtomicCheckpointIO()],
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=True,
        )
