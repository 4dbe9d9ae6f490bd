"""Checkpoints that are complete or absent, and notice damage.

A new file is written completely, with a checksum in it, and then replaces the old one.
"""

from __future__ import annotations

import os
import pickle
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from resemblance.config.errors import UserError
from resemblance.core.distributed import any_process
from resemblance.data.text import reason
from resemblance.training.checksums import Checksum, add_checksum, compare_checksum
from resemblance.training.engine.interrupts import Interrupts
from resemblance.writing import beside, replacing

SECONDS = 30.0
REPEAT = "delete it, and --resume repeats the stage from its start, with the same result"
STAGE = "stage.ckpt"  # Lightning's checkpoint within a stage, the one that a run can do without


def atomic_save(content: Any, path: Path, *, keep_previous: bool = False) -> None:
    """Write tensors and plain values to ``path``; if killed at any time, the old file or the new one remains.

    Args:
        content: tensors and plain values.
        path: the file.
        keep_previous: keep the file that is replaced, as `previous_path`, where the file system has hard links.

    Raises:
        CannotWriteError: if it cannot be written.
    """
    with replacing(path) as temporary:
        with temporary.open("w+b") as file:
            _save(content, file)
            add_checksum(file)
        if keep_previous:
            _keep_previous(path)


def _save(content: Any, file: IO[bytes]) -> None:
    """Write tensors and plain values; PyTorch's writer hides an error of the operating system, which is raised here."""
    remembering = Remembering(file)
    try:
        torch.save(content, remembering)  # type: ignore[arg-type]
    except RuntimeError as error:
        if remembering.error is not None:
            raise remembering.error from error
        raise


class Remembering:
    """A file that is written and remembers why it could not be.

    Args:
        file: the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write bytes, as a file does."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Hand the bytes to the operating system, as a file does."""
        self.file.flush()


def previous_path(path: Path) -> Path:
    """Return the name under which the checkpoint before this one is kept."""
    return path.with_name(path.name + ".previous")


def load_checkpoint(path: Path) -> Any:
    """Read a checkpoint of tensors and plain values.

    Raises:
        UserError: if the file is damaged, is not a checkpoint, or was written by a version without checksums.
    """
    try:
        with path.open("rb") as file:
            checksum = compare_checksum(file)
            if checksum is Checksum.DIFFERS:
                raise damaged(path)
            with warnings.catch_warnings(action="ignore"):
                content = torch.load(file, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError:  # its message is a page on how to run the code in the file
        raise UserError(
            f"{path} is not a checkpoint of resemblance: it is no pickle of plain values"
        ) from None
    except Exception as error:
        raise UserError(
            f"{path} is not a checkpoint of resemblance, or is damaged: {reason(error)}"
        ) from None
    if checksum is Checksum.MISSING:
        raise other_version(path)
    return content


def check_checkpoint(path: Path) -> None:
    """Compare a checkpoint with its checksum, without loading it.

    Raises:
        UserError: if the file is damaged or cannot be read.
    """
    try:
        with path.open("rb") as file:
            intact = compare_checksum(file) is not Checksum.DIFFERS
    except OSError as error:
        raise UserError(f"cannot read the checkpoint {path}: {error.strerror or error}") from None
    if not intact:
        raise damaged(path)


def damaged(path: Path) -> UserError:
    """Return the error for a damaged checkpoint, which says what can be done about it."""
    previous = previous_path(path)
    if path.name == STAGE:
        cure = REPEAT
    elif _is_intact(previous):
        cure = (
            f"rename {previous.name} to {path.name}, and --resume continues from there with the same result"
        )
    else:
        cure = "copy it again from a backup, or start the run again in another --output"
    return UserError(f"{path} is damaged, it does not match its checksum; {cure}")


def other_version(path: Path) -> UserError:
    """Return the error for a checkpoint that another version wrote."""
    if path.name == STAGE:
        return UserError(f"{path} was made by another version; {REPEAT}")
    return UserError(
        f"the run in {path.parent.parent} was made by another version and cannot be resumed; start it again in "
        "another --output"
    )


def unfit(path: Path, error: Exception) -> UserError:
    """Return the error for a checkpoint with which training cannot go on."""
    cure = REPEAT if path.name == STAGE else "start the run again in another --output"
    return UserError(f"{path} cannot be continued ({reason(error)}); {cure}")


def _keep_previous(path: Path) -> None:
    """Give the file a second name, so that at no time there is none under its own."""
    previous = previous_path(path)
    link = beside(previous)
    with suppress(OSError):  # there is none yet, or the file system has no hard links
        link.unlink(missing_ok=True)
        os.link(path, link)
        os.replace(link, previous)
        link.unlink(missing_ok=True)  # a rename between two names of one file does nothing


def _is_intact(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return compare_checksum(file) is Checksum.MATCHES
    except OSError:
        return False


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically, and read without running code from the file."""

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
    """Write checkpoints between optimiser steps: every so many steps or seconds, and on a signal.

    The result of a resumed run does not depend on where the checkpoint was written.

    Args:
        path: the checkpoint.
        every: optimiser steps between checkpoints; None: by time.
        interrupts: checked after each step.
        check: called before writing; raises if the state must not be saved.
    """

    def __init__(
        self, path: Path, every: int | None, interrupts: Interrupts, check: Callable[[], None]
    ) -> None:
        self.path, self.every, self.interrupts, self.check = path, every, interrupts, check
        self.saved_at = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's handler of SIGTERM, which ends without a checkpoint and waits for other processes."""
        self.interrupts.install()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save between two steps of an epoch; after the last, `on_train_epoch_end` does, with validation done."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if stepped and batch_idx + 1 < trainer.num_training_batches:
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch and its validation."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        time_over = time.monotonic() - self.saved_at > SECONDS
        due = time_over if self.every is None else trainer.global_step % self.every == 0
        stop = self.interrupts.requested
        # Clocks differ and signals arrive at different steps: all processes do what one of them needs.
        due, stop = any_process([due, stop], trainer.strategy.root_device)
        if due or stop:
            self.check()
            trainer.save_checkpoint(self.path)
            self.saved_at = time.monotonic()
        if stop:
            raise self.interrupts.error()
