"""Finish a run: describe the prototypes of the model, measure it and save it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resemblance.core.classifier import Classifier
from resemblance.core.prototype_model import PrototypeModel
from resemblance.core.reference import Reference
from resemblance.core.reference_counts import ReferenceCounts
from resemblance.data.batch import Batch, EncodedBatch
from resemblance.data.dataset import ImageDataset
from resemblance.data.loader import loader
from resemblance.data.sources.compressed import uncompressed
from resemblance.data.sources.source import DataSplits, Source, Subset
from resemblance.data.text import share
from resemblance.methods.saving import save
from resemblance.metrics.class_means import class_means_accuracy, compares_with_class_means
from resemblance.metrics.evaluation import Evaluation, evaluate
from resemblance.printing.places import last_component, without_places
from resemblance.runs.config_file import versions
from resemblance.runs.folders import METRICS, MODEL, read_config
from resemblance.runs.metrics_file import ORIGINAL_TEST
from resemblance.runs.opening import computing_on
from resemblance.runs.run import RunRecord
from resemblance.training.cached.kept_latents import KeptLatents
from resemblance.training.cached.latent_cache import LatentCache
from resemblance.training.ends.gallery import build_gallery
from resemblance.training.ends.usage import count_usage
from resemblance.writing import write_text

AVERAGED = 5000  # training images whose embeddings are averaged, at most, where they are not kept


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
    kept: KeptLatents | None = None,
    reference: Reference | None = None,
    unseen: bool = True,
) -> RunRecord:
    """Measure a trained model on the validation and test images, and save it with the results.

    The test images are used only here: as they are given, and where the images of some classes are compressed, also
    uncompressed.

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
        kept: keeps the latents of the encoder, of which some are there already.
        reference: the reference of the model's similarities, from before it was trained on the validation images, too;
            by default it is measured on these.
        unseen: whether the model was not trained on the validation images; otherwise they are no reference.
    """
    model.cpu()
    notes = list(notes)
    with computing_on(model, accelerator):
        kept = kept or KeptLatents(model, None, workers)
        train = source or splits.train
        if isinstance(model, PrototypeModel):
            if not model.prototypes.usage_counted:
                count_usage(model, kept.batches(train, batch_size), progress=progress)
            encoded = kept.of(train, compute=False)
            at = None if encoded is None else encoded.at
            model.gallery = build_gallery(model, train, encoded=at, progress=progress)
        if compares_with_class_means(model) and len(splits.val):
            averaged, classified = _averaged(kept, train, batch_size), kept.batches(splits.val, batch_size)
            model.facts["class_means"] = {"val": class_means_accuracy(model, averaged, classified, progress)}
        measured = isinstance(model, PrototypeModel) and reference is None and unseen
        counts = ReferenceCounts(model) if measured else None
        evaluations = {
            name: evaluate(
                model,
                part,
                batch_size=batch_size,
                workers=workers,
                progress=progress,
                also=counts if name == "val" else None,
                kept=kept if name == "val" else None,
            )
            for name, part in (
                ("val", splits.val),
                ("test", splits.test),
                (ORIGINAL_TEST, uncompressed(splits.test)),
            )
            if part is not None and len(part)
        }
    if isinstance(model, PrototypeModel):
        model.reference = counts.result() if counts is not None and "val" in evaluations else reference
    notes = list(
        without_places([*splits.notes, *notes, *_below_class_means(model, evaluations)], splits.name)
    )
    _add_facts(model, splits, evaluations, notes)
    save(model, folder / MODEL)
    sizes = {"train": len(splits.train)}
    sizes |= {name: evaluation.images for name, evaluation in evaluations.items()}
    metrics = {
        "method": model.name,
        "data": last_component(splits.name),
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


def _averaged(kept: KeptLatents, source: Source, batch_size: int) -> Iterable[Batch | EncodedBatch]:
    """Return the images whose embeddings are averaged: those of a frozen encoder are kept, of others it is a sample."""
    frozen = isinstance(kept.latents, LatentCache)
    encoded, sample = kept.of(source, compute=frozen), _sample(len(source))
    if encoded is not None:
        return encoded.batches(batch_size, None if frozen else sample)
    dataset = ImageDataset(Subset(source, sample), kept.model.spec.image)
    return loader(dataset, batch_size, kept.workers)


def _sample(images: int) -> NDArray[np.int64]:
    """Return at most `AVERAGED` images: every n-th, so that all classes are among them wherever their images stand."""
    return np.arange(0, images, max(-(-images // AVERAGED), 1))


def _below_class_means(model: Classifier, evaluations: dict[str, Evaluation]) -> list[str]:
    """Return a note if class means on the model's own encoder are more accurate than its prototypes."""
    means = model.facts.get("class_means", {}).get("val")
    if means is None or "val" not in evaluations or evaluations["val"].accuracy >= means:
        return []
    return [
        f"the prototypes classify {share(evaluations['val'].accuracy)} of the validation images correctly, class means "
        f"on the same encoder (KMEx with one prototype per class) {share(means)}: train longer, or convert the encoder"
    ]


def _add_facts(
    model: Classifier, splits: DataSplits, evaluations: dict[str, Evaluation], notes: list[str]
) -> None:
    """Add the results to the facts that are saved with the model."""
    facts = model.facts
    facts["data"] = last_component(splits.name)
    facts["accuracy"] = {name: evaluation.accuracy for name, evaluation in evaluations.items()}
    black_box = {name: e.black_box for name, e in evaluations.items() if e.black_box is not None}
    if black_box:
        facts["black_box"] = {**facts.get("black_box", {}), **black_box}
        facts["agreement"] = {name: e.agreement for name, e in evaluations.items() if e.agreement is not None}
    if isinstance(model, PrototypeModel):
        facts["prototypes"] = len(model.prototypes)
    if notes:
        facts["notes"] = notes
