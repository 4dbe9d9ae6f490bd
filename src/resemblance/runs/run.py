"""A run: its model, and what is known of how it came about."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.data.open import open_data
from resemblance.data.sources.source import DataSplits, Source
from resemblance.runs.folders import CONFIG, METRICS, check_writable, in_folder


@dataclass
class RunRecord:
    """A model and how it came about, where that is known.

    Args:
        name: what to call it.
        model: in evaluation mode.
        folder: the run folder; None for a model folder alone, or one from the hub.
        config: what the run folder's config.yaml says.
        splits: the images it was made with, where they are open already.
    """

    name: str
    model: Classifier = field(repr=False)
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    splits: DataSplits | None = field(default=None, repr=False)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """What the run folder's metrics.json says; empty without one.

        Raises:
            UserError: if it cannot be read.
        """
        text = self._text(METRICS)
        try:
            values = json.loads(text or "{}")
        except ValueError as error:
            raise UserError(f"{self.folder}/{METRICS} cannot be read: {error}") from None
        return values if isinstance(values, dict) else {}

    @property
    def notes(self) -> list[str]:
        """What must not be missed: images left out or split off, what projection and pruning did."""
        return [str(note) for note in self.model.facts.get("notes", [])]

    @property
    def configuration(self) -> str:
        """The text of config.yaml; empty without one."""
        return self._text(CONFIG)

    def images(self, data: str | DataSplits | None = None, skip_bad_images: bool = False) -> DataSplits:
        """Return the images that the run was made with, split as then, or others of the same classes.

        Args:
            data: another data set, by name or open.
            skip_bad_images: leave out unreadable images instead of stopping.

        Raises:
            UserError: if nobody says which, or the classes are others.
        """
        if data is None and self.splits is not None:
            return self.splits
        spec = data or self.config.get("data")
        if not spec:
            raise UserError(f"{self.name} does not say on which images it was trained; add --data")
        if isinstance(spec, DataSplits):
            splits, spec = spec, spec.name
        else:
            splits = open_data(
                spec,
                seed=split_seed(self.config),
                val_fraction=float(self.config.get("val_fraction", 0.1)),
                skip_bad_images=skip_bad_images or bool(self.config.get("skip_bad_images")),
            )
        mine, theirs = self.model.spec.classes, splits.classes
        if tuple(theirs) != tuple(mine):
            raise UserError(
                f"{spec} has the classes {_names(theirs)}, but {self.name} tells apart {_names(mine)}; "
                "give --data with the same classes in the same order"
            )
        return splits

    def place(self, output: Path | None, name: str) -> Path:
        """Return where to write a file: as the user says, else in the run folder, else here.

        Args:
            output: what the user says: a file, or a folder for it (one that is there, or without an ending).
            name: of the file, where the user names none.

        Raises:
            UserError: if nothing can be written there.
        """
        path = in_folder(output, name) or (self.folder or Path()) / name
        check_writable(path.parent)
        return path

    def _text(self, name: str) -> str:
        path = None if self.folder is None else self.folder / name
        if path is None or not path.is_file():
            return ""
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None


def split_seed(config: dict[str, Any]) -> int:
    """Return the seed by which a run's validation images were set aside."""
    return int(config.get("split_seed", config.get("seed", 0)) or 0)


def choose(splits: DataSplits, split: str) -> tuple[str, Source]:
    """Return the name and images of a split; ``auto`` is test, or val where there are no test images.

    Raises:
        UserError: if there are none.
    """
    test = splits.test if splits.test is not None and len(splits.test) else None
    name = split if split != "auto" else "test" if test is not None else "val"
    sources = {"train": splits.train, "val": splits.val, "test": test}
    if name not in sources:
        raise UserError(f"there is no split {split!r}; choose auto, train, val or test")
    source = sources[name]
    if source is None or not len(source):
        missing = "neither test nor val" if split == "auto" else f"no {name}"
        raise UserError(f"{splits.name} has {missing} images; choose another --split")
    return name, source


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:5]) + (f", … ({len(classes)})" if len(classes) > 5 else "")
