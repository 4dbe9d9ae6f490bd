"""Evaluate runs: open what the measures compare with, and measure each run on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from resemblance.config.evaluation.measure_options import (
    DEFINITIONS,
    MeasureOptions,
    chosen_measures,
    map_kind,
)
from resemblance.config.relevance import LRP_NOTICE
from resemblance.data.sources.source import DataSplits
from resemblance.metrics.suite.aggregate import Group, MeasuredRun, columns_of, groups_of
from resemblance.metrics.suite.runner import measure, remove_partial
from resemblance.metrics.suite.subject import Settings, Subject, choose
from resemblance.printing.places import last_component, without_places
from resemblance.runs.claims import claims_of_run, differences
from resemblance.runs.evaluation_inputs import (
    BLACK_BOX,
    attributes_of,
    black_box_for,
    open_images,
    refuse_repetition,
    regions_of,
    seed_of,
    trained_prototypes,
)
from resemblance.runs.kmex_beside import Evaluated, kmex_measures, kmex_of
from resemblance.runs.messages import Messages
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.engine.interrupts import Interrupts


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
            return {**self.runs[0].to_dict(), **shared}
        columns = columns_of(self.measured)
        return {
            **shared,
            "runs": [run.to_dict() for run in self.runs],
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
    labels: str | None = None,
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
        labels: a table of the classes of images without class folders; see `open_data`.
        folder: where the state is kept, from which an evaluation that was stopped goes on; None for nowhere.
        progress: whether to show bars.
        messages: receives notes.

    Raises:
        UserError: if runs and images do not fit together.
        Interrupted: after Ctrl-C or SIGTERM; the same call goes on.
    """
    messages = messages or Messages()
    names = chosen_measures(options)
    refuse_repetition(runs)
    definition = next(name for name in DEFINITIONS if name == options.definition)
    settings = Settings(map_kind(options), definition, options.seed, options.steps, batch_size)
    opened = open_images(runs, data, skip_bad_images, labels, messages)
    result = RunsEvaluation([], names, settings)
    if settings.maps == "prp":
        messages.warn(LRP_NOTICE)
        result.notes.append(LRP_NOTICE)
    hint = f" ({folder})" if folder is not None else ""
    with Interrupts(f"stopped; repeat the command to go on with the evaluation{hint}"):
        for run, splits in zip(runs, opened, strict=True):
            name, source = choose_split(splits, split)
            train = run.training_images(splits)
            images, order = choose(source, options.images, options.seed)
            subject = Subject(
                run.name,
                run.model,
                images,
                settings,
                train,
                black_box_for(run, runs, black_box),
                f"{splits.name}, {name}",
                regions_of(options.regions, source, messages),
                attributes_of(options.attributes, train),
                order,
            )
            outcome = measure(subject, names, workers=workers, folder=folder, progress=progress)
            measured = MeasuredRun(
                run.name,
                run.model.name,
                seed_of(run),
                trained_prototypes(run.model),
                without_places(asdict(run.model.config)),
                last_component(splits.name),
                name,
                outcome,
            )
            # The folder's claim is about the black box that the model contains, not about another one.
            own = outcome.evaluation
            if subject.black_box is not None:
                own = replace(own, black_box=None, agreement=None)
            claims = claims_of_run(run, own, splits, name, whole=len(images) == len(source))
            result.notes += [f"{run.name}: {says}" for says in differences(claims)]
            result.runs.append(Evaluated(measured, subject, run, tuple(claims)))
            if options.against_kmex and run.model.name not in (BLACK_BOX, "kmex"):
                result.runs.append(
                    kmex_of(result.runs[-1], splits, names, options, workers, folder, progress)
                )
    return result


def finish_evaluation(evaluation: RunsEvaluation, folder: Path | None) -> None:
    """Remove the state that was kept, after the results have been written."""
    for run in evaluation.runs:
        names = evaluation.measures if run.measured.of is None else kmex_measures(evaluation.measures)
        remove_partial(run.subject, names, folder)
