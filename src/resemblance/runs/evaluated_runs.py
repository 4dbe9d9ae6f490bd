"""Evaluate runs: open what the measures compare with, and measure each run on the same images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.measures import AGAINST_KMEX, DEFINITIONS, MeasureOptions, chosen_measures, map_kind
from resemblance.config.runs import ConvertOptions
from resemblance.convert.conversion import convert_original
from resemblance.convert.original import open_original
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.attributes import read_attributes
from resemblance.data.regions import RegionReader
from resemblance.data.regions.open_regions import open_regions
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.source import DataSplits, Source
from resemblance.metrics.suite.aggregate import Group, MeasuredRun, columns_of, groups_of
from resemblance.metrics.suite.runner import measure, remove_partial
from resemblance.metrics.suite.subject import Attributes, Settings, Subject, choose
from resemblance.runs.finish import describe_prototypes
from resemblance.runs.messages import Messages
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.engine.interrupts import Interrupts

BLACK_BOX = "blackbox"


@dataclass
class Evaluated:
    """A run with its results, and what the figures read.

    Args:
        measured: the results.
        subject: the model, its images and its settings.
        record: the run; for a KMEx conversion, that of the conversion.
    """

    measured: MeasuredRun
    subject: Subject
    record: RunRecord


@dataclass
class RunsEvaluation:
    """The results for one or several runs.

    Args:
        runs: the runs, each KMEx conversion after the run that it was made of.
        measures: the names of the measures.
        settings: the settings of the measures.
        notes: sentences that the reader should know.

    Attributes:
        groups: runs that differ in their seed alone.
    """

    runs: list[Evaluated]
    measures: tuple[str, ...]
    settings: Settings
    notes: list[str] = field(default_factory=list)

    @property
    def measured(self) -> list[MeasuredRun]:
        """The results of each run."""
        return [run.measured for run in self.runs]

    @property
    def groups(self) -> list[Group]:
        """Runs that differ in their seed alone."""
        return groups_of(self.measured)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary: of a single run, its entries as `evaluate` writes them without measures."""
        shared = {
            "format": "resemblance-evaluation-1",
            "settings": {**asdict(self.settings), "measures": list(self.measures)},
            "notes": list(self.notes),
        }
        if len(self.runs) == 1:
            return {**self.measured[0].to_dict(), **shared}
        columns = columns_of(self.measured)
        return {
            **shared,
            "runs": [run.to_dict() for run in self.measured],
            "groups": [group.to_dict(columns) for group in self.groups],
        }


def evaluate_runs(
    runs: Sequence[RunRecord],
    data: str | DataSplits | None,
    options: MeasureOptions,
    *,
    black_box: RunRecord | None = None,
    split: str = "auto",
    batch_size: int = 128,
    workers: int = 0,
    skip_bad_images: bool = False,
    folder: Path | None = None,
    progress: bool = False,
    messages: Messages | None = None,
) -> RunsEvaluation:
    """Measure runs on the same images.

    Args:
        runs: the runs.
        data: the data; by default that which each run was made with.
        options: the measures and their settings.
        black_box: the black box to compare with; by default a black box among the runs, of the same seed if there are
            several.
        split: the images to measure on: auto, train, val or test.
        batch_size: images per batch.
        workers: the number of processes that read images.
        skip_bad_images: whether to leave out unreadable images.
        folder: where the state is kept, from which an evaluation that was stopped goes on; None for nowhere.
        progress: whether to show bars.
        messages: receives notes.

    Raises:
        UserError: if runs and images do not fit together.
        Interrupted: after Ctrl-C or SIGTERM; the same call goes on.
    """
    messages = messages or Messages()
    names = chosen_measures(options)
    _refuse_repetition(runs)
    definition = next(name for name in DEFINITIONS if name == options.definition)
    settings = Settings(map_kind(options), definition, options.seed, options.steps, batch_size)
    opened = _open_images(runs, data, skip_bad_images, messages)
    result = RunsEvaluation([], names, settings)
    hint = f" ({folder})" if folder is not None else ""
    with Interrupts(f"stopped; repeat the command to go on with the evaluation{hint}"):
        for run, splits in zip(runs, opened, strict=True):
            name, source = choose_split(splits, split)
            train = Joined(splits.train, splits.val) if run.config.get("refit_on_all") else splits.train
            images, order = choose(source, options.images, options.seed)
            subject = Subject(
                run.name,
                run.model,
                images,
                settings,
                train,
                _black_box_for(run, runs, black_box),
                f"{splits.name}, {name}",
                _regions(options.regions, source, messages),
                _attributes(options.attributes, train),
                order,
            )
            outcome = measure(subject, names, workers=workers, folder=folder, progress=progress)
            measured = MeasuredRun(
                run.name,
                run.model.name,
                _seed(run),
                _trained(run.model),
                asdict(run.model.config),
                splits.name,
                name,
                outcome,
            )
            result.runs.append(Evaluated(measured, subject, run))
            if options.against_kmex and run.model.name not in (BLACK_BOX, "kmex"):
                result.runs.append(
                    _kmex_of(result.runs[-1], splits, names, options, workers, folder, progress)
                )
    return result


def finish_evaluation(evaluation: RunsEvaluation, folder: Path | None) -> None:
    """Remove the state that was kept, after the results have been written."""
    for run in evaluation.runs:
        names = evaluation.measures if run.measured.of is None else _kmex_measures(evaluation.measures)
        remove_partial(run.subject, names, folder)


def _kmex_of(
    original: Evaluated,
    splits: DataSplits,
    names: tuple[str, ...],
    options: MeasureOptions,
    workers: int,
    folder: Path | None,
    progress: bool,
) -> Evaluated:
    """Convert a run's own encoder with KMEx, in memory, and measure accuracy, ghosting and diversity."""
    run, subject = original.record, original.subject
    classes, model = len(splits.classes), run.model
    own = prototypes_of(model)
    per_class = max(1, round(len(own) / classes)) if own is not None else 5
    converting = ConvertOptions(
        model=run.name,
        prototypes_per_class=per_class,
        seed=options.seed,
        batch_size=subject.settings.batch_size,
        workers=workers,
        accelerator="cpu" if model.device.type == "cpu" else "auto",
        progress=progress,
        force=True,  # what the conversion shows is the point, also of a bad model
    )
    source = subject.train
    assert source is not None
    trained_on = DataSplits(source, splits.val, None, splits.classes, splits.name)
    kmex = convert_original(open_original(model, trained_on, converting), trained_on, converting).model
    kmex.to(model.device)
    describe_prototypes(kmex, source, subject.settings.batch_size, workers, progress)
    name = f"kmex of {run.name}"
    of_kmex = Subject(
        name,
        kmex.eval(),
        subject.images,
        subject.settings,
        source,
        subject.black_box,
        subject.data,
        None,
        subject.attributes,
        subject.order,
    )
    wanted = _kmex_measures(names)
    outcome = measure(of_kmex, wanted, workers=workers, folder=folder, progress=progress)
    settings = {"prototypes_per_class": per_class, "original_method": model.name}
    measured = MeasuredRun(
        name,
        "kmex",
        original.measured.seed,
        len(kmex.prototypes),
        settings,
        original.measured.data,
        original.measured.split,
        outcome,
        of=run.name,
    )
    return Evaluated(measured, of_kmex, RunRecord(name, kmex))


def _kmex_measures(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in (*AGAINST_KMEX, "attributes"))


def _refuse_repetition(runs: Sequence[RunRecord]) -> None:
    folders = [run.folder.resolve() for run in runs if run.folder is not None]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UserError(f"{folder} is given twice; a mean over runs needs different runs")


def _open_images(
    runs: Sequence[RunRecord], data: str | DataSplits | None, skip_bad_images: bool, messages: Messages
) -> list[DataSplits]:
    """Open the images of each run; runs with the same data and the same split share them."""
    opened: dict[str, DataSplits] = {}
    result = []
    for run in runs:
        if data is None and run.splits is not None:
            splits = run.splits
        else:
            config = {name: run.config.get(name) for name in ("split_seed", "seed", "val_fraction")}
            key = repr(
                (data if isinstance(data, str) else run.config.get("data"), config, run.model.spec.classes)
            )
            if key not in opened:
                opened[key] = run.images(data, skip_bad_images)
                for note in opened[key].notes:
                    messages.warn(note)
            splits = opened[key]
        result.append(splits)
    names = {splits.name for splits in result}
    if len(names) > 1:
        raise UserError(f"the runs were made with different data ({', '.join(sorted(names))}); add --data")
    return result


def _regions(text: str | None, source: Source, messages: Messages) -> RegionReader | None:
    if text is None:
        return None
    reader = open_regions(text, source)
    for note in reader.notes:
        messages.warn(note)
    return reader


def _attributes(path: Path | None, train: Source) -> Attributes | None:
    if path is None:
        return None
    table = read_attributes(path)
    return Attributes(table.names, table.of(train))


def _black_box_for(
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
            same = [other for other in candidates if _seed(other) == _seed(run)]
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


def _seed(run: RunRecord) -> int | None:
    """Return the seed of a run; a conversion has that of the black box if its own says nothing."""
    seed = run.config.get("seed")
    return None if seed is None else int(seed)


def _trained(model: Classifier) -> int | None:
    """Return the number of prototypes that a model was trained with, before pruning."""
    prototypes = prototypes_of(model)
    if prototypes is None:
        return None
    per_class = getattr(model.config, "prototypes_per_class", None)
    return len(prototypes) if per_class is None else max(per_class * model.spec.num_classes, len(prototypes))
