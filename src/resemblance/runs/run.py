"""A run: its model, and the folder, options and images that it was made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from resemblance.config.errors import UserError
from resemblance.config.training import JPEG_QUALITY
from resemblance.core.classifier import Classifier
from resemblance.data.formats.levels import UnknownRange
from resemblance.data.labels.find_tables import NONE
from resemblance.data.open import open_data
from resemblance.data.sources.compressed import compress_classes
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import composed
from resemblance.printing.places import without_places
from resemblance.runs.folders import METRICS, check_writable, in_folder
from resemblance.runs.metrics_file import read_metrics


@dataclass
class RunRecord:
    """A model, and the folder, options and images that it was made with, if known.

    Args:
        name: its name in texts.
        model: the model in evaluation mode.
        folder: the run folder; None for a model folder alone, or a model of the hub.
        config: the content of the run folder's config.yaml.
        splits: the images it was made with, if they are open.
    """

    name: str
    model: Classifier = field(repr=False)
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    splits: DataSplits | None = field(default=None, repr=False)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of the run folder's metrics.json; empty if it has none.

        Raises:
            UserError: if it cannot be read, or an entry has another type.
        """
        path = None if self.folder is None else self.folder / METRICS
        return {} if path is None or not path.exists() else read_metrics(path)

    @property
    def notes(self) -> list[str]:
        """Notes that the reader should know: images left out or split off, results of projection and pruning."""
        return [str(note) for note in self.model.facts.get("notes", [])]

    @property
    def configuration(self) -> str:
        """The options in config.yaml as text, without the places of files on the author's machine."""
        if not self.config:
            return ""
        return yaml.safe_dump(without_places(self.config), sort_keys=False, allow_unicode=True)

    def images(
        self,
        data: str | DataSplits | None = None,
        skip_bad_images: bool = False,
        labels: str | None = None,
    ) -> DataSplits:
        """Return the images that the run was made with, with the same splits, or other images of the same classes.

        Those that the run was made with are compressed as they were (``--jpeg-classes``), those of ``data`` are not.

        Args:
            data: another data set: its name, or its splits.
            skip_bad_images: whether to leave out unreadable images instead of stopping.
            labels: a table of their classes; see `open_data`. By default, for the images that the run was made with,
                the table that it was made with.

        Raises:
            UserError: if the data is not known, or has other classes.
        """
        if data is None and self.splits is not None and labels is None:
            return self.splits
        if data is not None and not isinstance(data, str | DataSplits):
            raise UserError(
                f"a {type(data).__name__} is not a data set; give the name of one, a resemblance.DataSplits, or a "
                "resemblance.ArraySource of images (N, H, W, C) uint8 and their labels"
            )
        spec = data or self.config.get("data")
        if not spec:
            raise UserError(f"{self.name} does not record on which images it was trained; add --data")
        if isinstance(spec, DataSplits):
            splits, spec = spec, spec.name
        else:
            try:
                splits = open_data(
                    spec,
                    seed=split_seed(self.config),
                    val_fraction=float(self.config.get("val_fraction", 0.1)),
                    skip_bad_images=skip_bad_images or bool(self.config.get("skip_bad_images")),
                    labels=labels or (self.config.get("labels", NONE) if data is None else None),
                    window=self.model.spec.image.window,
                )
            except UnknownRange as error:
                raise error.for_a_model() from None
            splits = splits if data is not None else compressed_as(splits, self.config)
        expected, classes = self.model.spec.classes, splits.classes
        if tuple(map(composed, classes)) != tuple(map(composed, expected)):
            raise UserError(
                f"{spec} has the classes {_names(classes)}, but {self.name} has {_names(expected)}; "
                "give --data with the same classes in the same order"
            )
        return splits

    def training_images(self, splits: DataSplits) -> Source:
        """Return the images of its data that the run was trained on: with ``--refit-on-all``, those of validation too.

        Args:
            splits: the images of the run.
        """
        return Joined(splits.train, splits.val) if self.config.get("refit_on_all") else splits.train

    def output_path(self, output: Path | None, name: str) -> Path:
        """Return the path of a file to write: the user's, else one in the run folder, else in the current folder.

        Args:
            output: the user's path: a file, or a folder for it (an existing one, or a path without an ending).
            name: the name of the file if the user gives none.

        Raises:
            UserError: if nothing can be written there.
        """
        path = in_folder(output, name) or (self.folder or Path()) / name
        check_writable(path.parent)
        return path


def split_seed(config: dict[str, Any]) -> int:
    """Return the seed of the split into training and validation images of a run."""
    return int(config.get("split_seed", config.get("seed", 0)) or 0)


def compressed_as(splits: DataSplits, config: dict[str, Any]) -> DataSplits:
    """Return splits with the images of those classes compressed that were so in a run.

    Args:
        splits: the images as they are.
        config: the content of the run's config.yaml.

    Raises:
        UserError: if it names a class that the data does not have.
    """
    which = config.get("jpeg_classes")
    if not which:
        return splits
    quality = int(config.get("jpeg_quality", JPEG_QUALITY))
    return compress_classes(splits, which, quality, split_seed(config))


def choose_split(splits: DataSplits, split: str) -> tuple[str, Source]:
    """Return the name and images of a split; ``auto`` is test, or val if there are no test images.

    Raises:
        UserError: if the split does not exist or has no images.
    """
    test = splits.test if splits.test is not None and len(splits.test) else None
    name = split if split != "auto" else "test" if test is not None else "val"
    sources = {"train": splits.train, "val": splits.val, "test": test}
    if name not in sources:
        raise UserError(f"there is no split {split!r}; choose auto, train, val or test")
    source = sources[name]
    if source is None or not len(source):
        lacking = "neither test nor val" if split == "auto" else f"no {name}"
        raise UserError(f"{splits.name} has {lacking} images; choose another --split")
    return name, source


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:5]) + (f", … ({len(classes)})" if len(classes) > 5 else "")
