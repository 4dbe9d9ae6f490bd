"""What ends every run that makes a model: look at it, measure it, save it, report it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resemblance.cli.console import Screen, share
from resemblance.config.commands import ConvertCommand, ReportCommand, TrainCommand
from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits, Source
from resemblance.methods.saving import save
from resemblance.metrics.evaluation import Evaluation, evaluate
from resemblance.runs.run import METRICS, MODEL, Run, device, versions
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.usage import count_usage


@dataclass
class Finished:
    """A run that has ended.

    Args:
        run: with its model.
        evaluations: by split, ``val`` and ``test`` where there are such images.
        metrics: what metrics.json says.
        notes: on how the model came about; those on the images were said before.
    """

    run: Run
    evaluations: dict[str, Evaluation]
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def show_prototypes(model: Classifier, source: Source, batch_size: int, workers: int, progress: bool) -> None:
    """Count how the prototypes are used and collect their pictures, where that was not done yet.

    Args:
        model: any.
        source: the training images that its prototypes come from.
        batch_size: images a batch.
        workers: loader processes.
        progress: whether to show a bar.
    """
    if not isinstance(model, PrototypeModel):
        return
    if not model.prototypes.usage_counted:
        images = loader(ImageDataset(source, model.spec.image), batch_size, workers)
        count_usage(model, images, progress=progress)
    model.gallery = build_gallery(model, source, progress=progress)


def finish(
    model: Classifier,
    splits: DataSplits,
    folder: Path,
    out: Screen,
    *,
    source: Source | None = None,
    seconds: float = 0.0,
    notes: list[str] | None = None,
    batch_size: int = 128,
    workers: int = 0,
    progress: bool = True,
    accelerator: str = "auto",
    **more: Any,
) -> Finished:
    """Measure a trained model on validation and, this once, on test images; save it with what was measured.

    Args:
        model: trained or converted.
        splits: the images.
        folder: the run folder.
        out: where to print.
        source: the images that prototypes come from, if not the training images.
        seconds: what training took.
        notes: lines for the user.
        batch_size: images a batch.
        workers: loader processes.
        progress: whether to show bars.
        accelerator: what to compute on.
        more: further entries of metrics.json.
    """
    model.to(device(accelerator))
    show_prototypes(model, source or splits.train, batch_size, workers, progress)
    parts = {"val": splits.val, "test": splits.test}
    evaluations = {
        name: evaluate(model, part, batch_size=batch_size, workers=workers, progress=progress)
        for name, part in parts.items()
        if part is not None and len(part)
    }
    model.cpu()
    model.facts["data"] = splits.name
    model.facts["accuracy"] = {name: found.accuracy for name, found in evaluations.items()}
    black_box = {name: found.black_box for name, found in evaluations.items() if found.black_box is not None}
    if black_box:
        model.facts["black_box"] = black_box
    if isinstance(model, PrototypeModel):
        model.facts["prototypes"] = len(model.prototypes)
    own_notes = notes or []
    notes = [*splits.notes, *own_notes]
    if notes:
        model.facts["notes"] = notes
    save(model, folder / MODEL)
    metrics = {
        "method": model.name,
        "data": splits.name,
        "images": {"train": len(splits.train)} | {name: len(part) for name, part in parts.items() if part},
        "seconds": round(seconds, 1),
        **more,
        **{name: found.to_dict() for name, found in evaluations.items()},
        "notes": notes,
        "versions": versions(),
    }
    (folder / METRICS).write_text(json.dumps(metrics, indent=2, ensure_ascii=False), encoding="utf-8")
    return Finished(Run(folder.name, model, folder), evaluations, metrics, own_notes)


def close(
    finished: Finished, out: Screen, options: TrainCommand | ConvertCommand, own_code: str | None
) -> None:
    """Say what came of a run, write its report where that is wanted, and say where everything is.

    Args:
        finished: the run.
        out: where to print.
        options: of the command that made it.
        own_code: the user's own network, which the report may import too.
    """
    print_finished(finished, out)
    folder = finished.run.folder
    assert folder is not None
    if options.report:
        from resemblance.cli.commands.report import report  # brings the drawing library

        wanted = ReportCommand(
            runs=[str(folder)],
            allow_import=own_code,
            accelerator=options.accelerator,
            workers=options.workers,
        )
        out.say(f"report: {report(wanted, out)}")
    out.say(f"run folder: {folder}")
    out.result({"run": str(folder), **finished.metrics})


def print_finished(finished: Finished, out: Screen) -> None:
    """A small table of what came of a run."""
    model = finished.run.model
    black_box = model.facts.get("black_box") or {}
    rows = []
    measured = dict.fromkeys(label for found in finished.evaluations.values() for label in found.measured)
    for name, found in finished.evaluations.items():
        row = [name, share(found.accuracy)]
        if black_box:
            before = black_box.get(name)
            gap = "" if before is None else f"{100 * (before - found.accuracy):+.2f} points"
            row += ["" if before is None else share(before), gap]
        row += [share(found.measured[label]) for label in measured]
        rows.append(row)
    columns = ["images", "accuracy", *(["black box", "gap"] if black_box else []), *measured]
    out.table(columns, rows)
    if isinstance(model, PrototypeModel):
        words, idle = model.traits.words, len(model.prototypes.unused())
        unused = f", {idle} of them unused on the training images" if words.rivals else ""
        out.say(f"{words.many}: {len(model.prototypes)}{unused}")
    for note in finished.notes:
        out.say(f"note: {note}")
