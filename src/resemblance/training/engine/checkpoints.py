"""Checkpoints that are whole or absent: a new file is written out and then takes the old one's name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resemblance.config.errors import UserError
from resemblance.core.distributed import world
from resemblance.training.engine.interrupts import Interrupts

SECONDS = 30.0


def atomic_save(content: Any, path: Path) -> None:
    """Write tensors and plain values to ``path``; a kill at any moment leaves the old file or the new one.

    Raises:
        UserError: if the disk does not take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    try:
        with fresh.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise UserError(f"cannot write the checkpoint {path}: {error.strerror}") from None
    if hasattr(os, "O_DIRECTORY"):  # the new name has to reach the disk as well
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def load_checkpoint(path: Path) -> Any:
    """Read a checkpoint; only tensors and plain values are accepted.

    Raises:
        UserError: if the file is damaged or something else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:120]
        raise UserError(f"{path} is not a checkpoint of this program, or damaged: {reason}") from None


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and read without running code from them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write Lightning's checkpoint."""
        atomic_save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read Lightning's checkpoint."""
        content: dict[str, Any] = load_checkpoint(Path(path))
        return content


class Saver(Checkpoint):
    """Writes checkpoints between optimiser steps, by number of steps or by the clock, and on Ctrl-C.

    Where it writes makes no difference to the result of a resumed run.

    Args:
        path: the checkpoint.
        every: optimiser steps; None: by the clock.
        interrupts: asked after each step.
        check: called before writing; raises where the state is not worth keeping.
    """

    def __init__(
        self, path: Path, every: int | None, interrupts: Interrupts, check: Callable[[], None]
    ) -> None:
        self.path, self.every, self.interrupts, self.check = path, every, interrupts, check
        self.saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps of an epoch; after the last comes `on_train_epoch_end`, with validation done."""
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if whole and batch_idx + 1 < trainer.num_training_batches:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After an epoch and its validation."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        by_clock = time.monotonic() - self.saved_at > SECONDS
        due = by_clock if self.every is None else trainer.global_step % self.every == 0
        stop = self.interrupts.requested
        if world() > 1:
            # Clocks differ and signals arrive at different steps: all do what one wants.
            wishes = torch.tensor([due, stop], dtype=torch.int32, device=trainer.strategy.root_device)
            dist.all_reduce(wishes, op=dist.ReduceOp.MAX)
            due, stop = (bool(wish) for wish in wishes.tolist())
        if due or stop:
            self.check()
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()
        if stop:
            raise self.interrupts.error()
