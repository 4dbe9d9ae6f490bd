"""Open what an evaluation of runs reads: their images, the black box, annotated regions and attributes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from resemblance.config.errors import UserError
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.attributes import read_attributes
from resemblance.data.regions import RegionReader
from resemblance.data.regions.open_regions import open_regions
from resemblance.data.sources.source import DataSplits, Source
from resemblance.metrics.suite.subject import Attributes
from resemblance.runs.messages import Messages
from resemblance.runs.run import RunRecord

BLACK_BOX = "blackbox"
# The options of a run on which its images depend, other than the data.
SPLIT = ("split_seed", "seed", "val_fraction", "jpeg_classes", "jpeg_quality")


def refuse_repetition(runs: Sequence[RunRecord]) -> None:
    """Refuse the same run folder twice, which would count as two runs in a mean.

    Raises:
        UserError: naming the folder.
    """
    folders = [run.folder.resolve() for run in runs if run.folder is not None]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UserError(f"{folder} is given twice; a mean over runs needs different runs")


def open_images(
    runs: Sequence[RunRecord],
    data: str | DataSplits | None,
    skip_bad_images: bool,
    labels: str | None,
    messages: Messages,
) -> list[DataSplits]:
    """Open the images of each run; runs with the same data and the same split share them."""
    opened: dict[str, DataSplits] = {}
    result = []
    for run in runs:
        if data is None and run.splits is not None:
            splits = run.splits
        else:
            config = {name: run.config.get(name) for name in SPLIT}
            key = repr(
                (
                    data if isinstance(data, str) else run.config.get("data"),
                    config,
                    run.model.spec.classes,
                    run.model.spec.image.window,
                )
            )
            if key not in opened:
                opened[key] = run.images(data, skip_bad_images, labels)
                for note in opened[key].notes:
                    messages.warn(note)
            splits = opened[key]
        result.append(splits)
    names = {splits.name for splits in result}
    if len(names) > 1:
        raise UserError(f"the runs were made with different data ({', '.join(sorted(names))}); add --data")
    return result


def regions_of(text: str | None, source: Source, messages: Messages) -> RegionReader | None:
    """Open annotated regions of the images of a split; None without any."""
    if text is None:
        return None
    reader = open_regions(text, source)
    for note in reader.notes:
        messages.warn(note)
    return reader


def attributes_of(path: Path | None, train: Source) -> Attributes | None:
    """Read the attributes of the training images; None without any."""
    if path is None:
        return None
    table = read_attributes(path)
    return Attributes(table.names, table.of(train))


def black_box_for(
    run: RunRecord, runs: Sequence[RunRecord], black_box: RunRecord | None
) -> Classifier | None:
    """Return the black box to compare a run with.

    It is the one given, else one among the runs: that of which the run was made, or of the same seed, or the only one.
    """
    if black_box is not None:
        chosen = black_box
    else:
        candidates = [other for other in runs if other.model.name == BLACK_BOX]
        origin = run.config.get("model") or run.config.get("start")
        names = {os.path.realpath(origin), os.path.realpath(os.path.join(origin, ".."))} if origin else set()
        same = [other for other in candidates if other.folder and os.path.realpath(other.folder) in names]
        if origin is None:
            same = [other for other in candidates if seed_of(other) == seed_of(run)]
            same = same or (candidates if len(candidates) == 1 else [])
        if not same:
            return None
        chosen = same[0]
    if chosen.model is run.model:
        return None
    if chosen.model.spec.classes != run.model.spec.classes:
        raise UserError(f"{chosen.name} has other classes than {run.name}, or has them in another order")
    if chosen.model.spec.image.size != run.model.spec.image.size or (
        chosen.model.spec.image.channels != run.model.spec.image.channels
    ):
        raise UserError(
            f"{chosen.name} reads images of {_size(chosen)}, but {run.name} of {_size(run)}; their maps cannot be "
            "compared"
        )
    return chosen.model.to(run.model.device)


def _size(run: RunRecord) -> str:
    image = run.model.spec.image
    return f"{image.height}×{image.width}×{image.channels}"


def seed_of(run: RunRecord) -> int | None:
    """Return the seed of a run; None for a model without one."""
    seed = run.config.get("seed")
    return None if seed is None else int(seed)


def trained_prototypes(model: Classifier) -> int | None:
    """Return the number of prototypes that a model was trained with, before pruning."""
    prototypes = prototypes_of(model)
    if prototypes is None:
        return None
    per_class = getattr(model.config, "prototypes_per_class", None)
    return len(prototypes) if per_class is None else max(per_class * model.spec.num_classes, len(prototypes))
