"""Finish a run: describe the prototypes of the model, measure it and save it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.source import DataSplits, Source
from resemblance.methods.saving import save
from resemblance.metrics.evaluation import Evaluation, evaluate
from resemblance.runs.config_file import versions
from resemblance.runs.folders import METRICS, MODEL, read_config
from resemblance.runs.opening import computing_on
from resemblance.runs.run import RunRecord
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.usage import count_usage
from resemblance.writing import write_text


def finish(
    model: Classifier,
    splits: DataSplits,
    folder: Path,
    *,
    source: Source | None = None,
    seconds: float = 0.0,
    notes: Sequence[str] = (),
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    progress: bool = False,
    accelerator: str = "auto",
) -> RunRecord:
    """Measure a trained model on the validation and test images, and save it with the results.

    The test images are used only here.

    Args:
        model: a trained or converted model; it is on the CPU afterwards.
        splits: the images.
        folder: the run folder.
        source: the images that prototypes come from; by default the training images.
        seconds: the duration of training or conversion.
        notes: notes about the training or conversion; the notes about the images are added.
        seed: the seed of the run.
        batch_size: images per batch.
        workers: the number of processes that read images.
        progress: whether to show progress bars.
        accelerator: the hardware to compute on.
    """
    model.cpu()
    with computing_on(model, accelerator):
        describe_prototypes(model, source or splits.train, batch_size, workers, progress)
        evaluations = {
            name: evaluate(model, part, batch_size=batch_size, workers=workers, progress=progress)
            for name, part in (("val", splits.val), ("test", splits.test))
            if part is not None and len(part)
        }
    notes = [*splits.notes, *notes]
    _add_facts(model, splits, evaluations, notes)
    save(model, folder / MODEL)
    sizes = {"train": len(splits.train)}
    sizes |= {name: evaluation.images for name, evaluation in evaluations.items()}
    metrics = {
        "method": model.name,
        "data": splits.name,
        "images": sizes,
        "seconds": round(seconds, 1),
        "seed": seed,
        **{name: evaluation.to_dict() for name, evaluation in evaluations.items()},
        "notes": notes,
        "versions": versions(),
    }
    write_text(folder / METRICS, json.dumps(metrics, indent=2, ensure_ascii=False))
    name = Path(os.path.abspath(folder)).name
    return RunRecord(name, model, folder, read_config(folder), splits)


def describe_prototypes(
    model: Classifier, source: Source, batch_size: int, workers: int, progress: bool
) -> None:
    """Count the usage of the prototypes, if it is not counted yet, and collect their pictures.

    Args:
        model: any model; one without prototypes does not change.
        source: the training images that its prototypes come from.
        batch_size: images per batch.
        workers: the number of processes that read images.
        progress: whether to show a progress bar.
    """
    if not isinstance(model, PrototypeModel):
        return
    if not model.prototypes.usage_counted:
        images = loader(ImageDataset(source, model.spec.image), batch_size, workers)
        count_usage(model, images, progress=progress)
    model.gallery = build_gallery(model, source, progress=progress)


def _add_facts(
    model: Classifier, splits: DataSplits, evaluations: dict[str, Evaluation], notes: list[str]
) -> None:
    """Add the results to the facts that are saved with the model."""
    facts = model.facts
    facts["data"] = splits.name
    facts["accuracy"] = {name: evaluation.accuracy for name, evaluation in evaluations.items()}
    black_box = {name: e.black_box for name, e in evaluations.items() if e.black_box is not None}
    if black_box:
        facts["black_box"] = {**facts.get("black_box", {}), **black_box}
    if isinstance(model, PrototypeModel):
        facts["prototypes"] = len(model.prototypes)
    if notes:
        facts["notes"] = notes
