"""Convert the encoder of a run with KMEx, in memory, and measure its prototypes beside the run's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from resemblance.config.evaluation.measure_names import AGAINST_KMEX
from resemblance.config.evaluation.measure_options import MeasureOptions
from resemblance.config.runs import ConvertOptions
from resemblance.convert.conversion import convert_original
from resemblance.convert.original import open_original
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.sources.source import DataSplits
from resemblance.metrics.suite.aggregate import MeasuredRun
from resemblance.metrics.suite.runner import measure
from resemblance.metrics.suite.subject import Subject
from resemblance.runs.claims import Claim
from resemblance.runs.run import RunRecord
from resemblance.training.ends.gallery import build_gallery


@dataclass
class Evaluated:
    """A run with its results, and what the figures read.

    Args:
        measured: the results.
        subject: the model, its images and its settings.
        record: the run; for a KMEx conversion, that of the conversion.
        claims: the figures that the run claims, beside the measured ones; a KMEx conversion claims none.
    """

    measured: MeasuredRun
    subject: Subject
    record: RunRecord
    claims: tuple[Claim, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {**self.measured.to_dict(), "claims": [claim.to_dict() for claim in self.claims]}


def kmex_of(
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
    kmex.gallery = build_gallery(kmex, source, progress=progress)
    name = f"kmex of {run.name}"
    of_kmex = replace(subject, name=name, model=kmex.eval(), regions=None)
    wanted = kmex_measures(names)
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


def kmex_measures(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the measures by which KMEx's prototypes are compared with a model's own."""
    return tuple(name for name in names if name in (*AGAINST_KMEX, "attributes"))
