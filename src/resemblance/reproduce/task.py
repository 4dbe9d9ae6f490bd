"""One command whose result is kept: its words, its folder, and the record beside the folder."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import read_json
from resemblance.config.files.typed import make
from resemblance.config.values import flag
from resemblance.printing.places import without_places
from resemblance.writing import write_text

RESULTS = {  # verb → the file in the task's folder that holds its result
    "train": "metrics.json",
    "convert": "metrics.json",
    "evaluate": "evaluation.json",
    "audit": "audit.json",
}
ITS_OWN_FOLDER = ("checkpoints", "model")  # what a training that was begun has left


@dataclass(frozen=True)
class Task:
    """One command of an experiment or of a sweep, with its seed.

    Args:
        name: its name in messages.
        verb: train, convert, evaluate or audit.
        subjects: the method to train, else the folders of the runs that the command reads.
        options: the command's options by name, without the seed and the output.
        folder: for its results.
        seed: the seed; None for commands without one.
        after: the tasks that must be finished before.
        root: the folder of all results, from which texts name the others.
        data_set: the name of the data set, whose place may change; empty if the place is all that is known.
    """

    name: str
    verb: str
    subjects: tuple[str, ...]
    options: Mapping[str, Any]
    folder: Path
    seed: int | None = None
    after: tuple[Task, ...] = ()
    root: Path = Path()
    data_set: str = ""

    @property
    def record_path(self) -> Path:
        """The file of its record."""
        return self.folder.with_name(f"{self.folder.name}.json")

    @property
    def result_path(self) -> Path:
        """The file that holds its result when it is finished."""
        return self.folder / RESULTS[self.verb]

    def words(self, epochs: int | None = None) -> list[str]:
        """Return the command as words.

        Args:
            epochs: the epochs of a training; None for those of its options.

        Example:
            >>> Task("", "train", ("kmex",), {"l1": 0.5, "prune": True, "focal": False}, Path("r"), 3).words(2)
            ['train', 'kmex', '--l1', '0.5', '--prune', '--no-focal', '--epochs', '2', '--seed', '3', '--output', 'r']
        """
        options = {**self.options, **({} if epochs is None else {"epochs": epochs})}
        if self.seed is not None:
            options["seed"] = self.seed
        words = [self.verb, *self.subjects]
        for name, value in options.items():
            words += option_words(name, value)
        return [*words, "--output", str(self.folder)]

    def shown(self, epochs: int | None = None) -> str:
        """Return the command as it can be typed in the folder of all results, with names in place of data folders."""
        words = [word.replace(f"{self.root}{os.sep}", "") for word in ["resemblance", *self.words(epochs)]]
        return " ".join(shlex.quote(str(without_places(word))) for word in words)

    def read_record(self) -> Record | None:
        """Return the record of this task; None if it was never begun.

        Raises:
            UserError: if it cannot be read, or is that of a task with other options.
        """
        if not self.record_path.exists():
            return None
        record = read_record_file(self.record_path)
        if record.options != self.recorded_options():
            raise UserError(
                f"{self.folder} holds a run with other options: {record.command}; give another --output"
            )
        return record

    def read_result(self) -> dict[str, Any] | None:
        """Return the result; None if it is not finished."""
        record = self.read_record()
        if record is None or not record.finished or not self.result_path.exists():
            return None
        return read_json(self.result_path)

    def recorded_options(self) -> dict[str, Any]:
        """Return what tells this task from others: its options as JSON holds them, without places of files."""
        plain = {"seed": self.seed, **{name: _plain(value) for name, value in self.options.items()}}
        if self.data_set and "data" in plain:
            plain["data"] = self.data_set
        here = f"{self.root}{os.sep}"
        return {
            name: without_places(value.replace(here, "")) if isinstance(value, str) else value
            for name, value in plain.items()
        }


@dataclass
class Record:
    """What is known of a task that was begun.

    Args:
        command: as it can be typed, with the paths of files left out.
        options: of the task.
        epochs: those that are trained; None for other commands, and for trainings by the whole recipe.
        of_epochs: the epochs of the recipe, if fewer are trained.
        seconds: how long it took, in all its parts.
        machine: on what.
        finished: whether it is finished.
    """

    command: str
    options: dict[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    of_epochs: int | None = None
    seconds: float = 0.0
    machine: str = ""
    finished: bool = False

    @property
    def shortened(self) -> str:
        """Say with how many epochs it was trained if these are not all; else empty."""
        return f"with {self.epochs} of {self.of_epochs} epochs" if self.of_epochs else ""

    def write(self, path: Path) -> None:
        """Write the record."""
        write_text(path, json.dumps(self.__dict__, indent=2, ensure_ascii=False))


def read_record_file(path: Path) -> Record:
    """Read a record.

    Raises:
        UserError: naming the file, if it is not a record.
    """
    return make(Record, read_json(path), str(path))


def option_words(name: str, value: Any) -> list[str]:
    """Return an option as the command line reads it.

    Example:
        >>> option_words("image_size", [32, 32]), option_words("progress", False), option_words("labels", None)
        (['--image-size', '32,32'], ['--no-progress'], [])
    """
    if value is None:
        return []
    if isinstance(value, bool):
        return [flag(name) if value else flag(f"no-{name}")]
    return [flag(name), _plain(value)]


def _plain(value: Any) -> Any:
    """Return a value as the command line writes it; booleans stay."""
    if isinstance(value, bool) or value is None:
        return value
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
