"""Collect the content of a report from a run folder and the images of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from resemblance.config.errors import UserError
from resemblance.core.prototype_model import PrototypeModel, prototypes_of
from resemblance.data.dataset import ImageDataset
from resemblance.data.inputs import source_input
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import share
from resemblance.drawing.style import png
from resemblance.explain.explain import explain_batch
from resemblance.explain.explanation import Explanation
from resemblance.methods.paper_figures import FigureInputs, paper_figures
from resemblance.printing.places import without_places
from resemblance.report.chosen_images import (
    SearchedImages,
    choose_images,
    known_images,
    known_wrong,
    search_images,
)
from resemblance.report.collect import collect
from resemblance.report.content import ReportFigure, RunReport
from resemblance.report.latent_space import Embeddings, draw, embedded_images, latent_space_figure
from resemblance.runs.folders import METRICS
from resemblance.runs.messages import Messages
from resemblance.runs.metrics_file import ORIGINAL_TEST
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.watch.snapshots import read_snapshots

# Images in the figure of the latent space, among which misclassified ones are searched for where they are not known.
DRAWN = 1000


def run_report(
    run: RunRecord,
    splits: DataSplits | None,
    *,
    explain: int = 8,
    top: int = 5,
    against: int | str = "auto",
    maps: str = "auto",
    check_maps: bool = True,
    first: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
    messages: Messages | None = None,
) -> RunReport:
    """Collect the content of a run's report.

    Args:
        run: the run.
        splits: its images; None if they are not available: then no image is explained.
        explain: the number of images to explain, misclassified ones first.
        top: the number of reasons per image.
        against: what scores are compared with.
        maps: the kind of map of each reason; a run that has none of this kind gets the default, with a note.
        check_maps: whether to check the maps by deletion.
        first: indices of images that are chosen before others; by default those that the model misclassifies.
        seed: the seed of the choice of images.
        batch_size: images per batch.
        workers: the number of processes that read images.
        messages: receives a warning for each snapshot that is left out, and for a kind of map that the run has not.

    Raises:
        UserError: if metrics.json cannot be read or holds its measurements in another form.
    """
    model, metrics, notes = run.model, run.metrics, run.notes
    confusions = read_confusions(run)
    explanations: list[Explanation] = []
    figures: list[ReportFigure] = []
    if splits is None:
        notes.append("The images were not available when this page was written: no prediction is explained.")
    elif not len(splits.val) and not splits.test:
        notes.append(
            "There are neither validation nor test images: no accuracy is measured and no prediction is explained."
        )
    else:
        searched: SearchedImages | None = None
        _, source = choose_split(splits, "auto")
        if isinstance(model, PrototypeModel) and explain:
            wrong = known_wrong(run, splits, seed) if first is None else list(first)
            least = known_images(run, splits, "least_familiar") or []
            order = draw(len(source), len(source), seed).tolist()
            if wrong is None:
                searched = search_images(model, source, DRAWN, seed, batch_size, workers)
                order, wrong = searched.order, searched.wrong
            indices = choose_images(order, explain, wrong, least)
            try:
                explanations = explain_images(model, source, indices, top, maps, check_maps, against)
            except UserError as error:
                if maps in ("auto", "none"):
                    raise
                notes.append(f"There are no {maps} maps here, but the default ones: {error}.")
                (messages or Messages()).warn(f"{run.name} is shown with its default maps: {error}")
                explanations = explain_images(model, source, indices, top, "auto", check_maps, against)
        figures = _figures(
            run,
            source,
            run.training_images(splits),
            seed,
            batch_size,
            workers,
            messages or Messages(),
            None if searched is None else searched.embeddings,
        )
    return collect(
        model,
        run.name,
        data=str(model.facts.get("data", "")),
        command=_command(run),
        confusions=confusions,
        black_box=_by_split(metrics, "black_box"),
        agreement=_by_split(metrics, "agreement"),
        sure={title: (row[0], row[1]) for title, row in _by_split(metrics, "sure").items() if len(row) == 2},
        explanations=explanations,
        facts=_facts(run, metrics),
        notes=without_places(notes, str(run.config.get("data") or "")),
        configuration=run.configuration,
        figures=figures,
    )


def split_titles(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the splits that may have been measured, with their titles.

    Example:
        >>> split_titles({"val": {}, "test": {}})["test"], split_titles({"test (original)": {}})["test"]
        ('test', 'test (altered)')
    """
    test = "test (altered)" if ORIGINAL_TEST in metrics else "test"
    return {"val": "validation", "test": test, ORIGINAL_TEST: ORIGINAL_TEST}


def _by_split(metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a measured number by the title of its split, where it was measured."""
    values = {title: metrics.get(split, {}).get(name) for split, title in split_titles(metrics).items()}
    return {title: value for title, value in values.items() if value is not None}


def read_confusions(run: RunRecord) -> dict[str, NDArray[np.int64]]:
    """Read the confusion matrix of each split that was measured.

    Raises:
        UserError: if metrics.json holds them in another form.
    """
    try:
        confusions = {
            name: np.array(run.metrics[key]["confusion"], dtype=np.int64)
            for key, name in split_titles(run.metrics).items()
            if run.metrics.get(key)
        }
        for counts in confusions.values():
            if counts.shape != (run.model.spec.num_classes,) * 2 or counts.min() < 0:
                raise ValueError("not the counts of these classes")
        return confusions
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f"{run.folder}/{METRICS} was written by another version and cannot be reported; make the run again, or "
            "give its model folder to report"
        ) from None


def explain_images(
    model: PrototypeModel,
    source: Source,
    indices: list[int],
    top: int,
    maps: str = "auto",
    check_maps: bool = False,
    against: int | str = "auto",
) -> list[Explanation]:
    """Explain images of a source, with their true classes."""
    return explain_batch(
        model,
        [source_input(source, index, model.spec.image) for index in indices],
        top=top,
        labels=[int(source.labels[index]) for index in indices],
        maps=maps,
        check_maps=check_maps,
        against=against,
    )


def spread_over_classes(labels: ArrayLike, count: int) -> list[int]:
    """Return the indices of ``count`` images: the first of each class, then the second of each, and so on.

    Example:
        >>> spread_over_classes([0, 0, 0, 1, 1, 2], 5)
        [0, 3, 5, 1, 4]
    """
    counts: dict[int, int] = {}
    ranks = []
    for label in np.asarray(labels).tolist():
        ranks.append(counts.get(label, 0))
        counts[label] = ranks[-1] + 1
    indices: list[int] = np.argsort(ranks, kind="stable")[:count].tolist()
    return indices


def _figures(
    run: RunRecord,
    source: Source,
    train: Source,
    seed: int,
    batch_size: int,
    workers: int,
    messages: Messages,
    embeddings: Embeddings | None,
) -> list[ReportFigure]:
    model = run.model
    examples = ImageDataset(source, model.spec.image).__getitems__(spread_over_classes(source.labels, 8))
    snapshots = read_snapshots(model, run.folder, messages.warn) if run.folder is not None else []
    inputs = FigureInputs(examples.images, examples.labels, source, snapshots, train)
    figures = [
        ReportFigure(title, png(drawn.figure), title, drawn.caption)
        for title, drawn in paper_figures(model, inputs).items()
    ]
    prototypes = prototypes_of(model)
    if prototypes is not None and not prototypes.has_vectors:
        return figures
    embedded = embedded_images(run, source, DRAWN, seed, "pca", batch_size, workers, embeddings)
    figures.append(
        ReportFigure(
            "Latent space",
            png(latent_space_figure(run, embedded)),
            "Images as points and prototypes as squares in two dimensions",
            f"{len(embedded.labels)} images in their two principal components, which explain "
            f"{embedded.explained:.0%} of the variance. Squares are prototypes; a larger square is the most similar "
            "prototype for more training images.",
        )
    )
    return figures


def _facts(run: RunRecord, metrics: dict[str, Any]) -> dict[str, Any]:
    image = run.model.spec.image
    facts: dict[str, Any] = {}
    facts["Images"] = f"{image.height}×{image.width}, {'grey' if image.channels == 1 else 'RGB'}"
    if metrics.get("seconds"):
        facts["Minutes"] = round(metrics["seconds"] / 60, 1)
    for key in ("seed", "epochs", "precision", "variant"):
        if run.config.get(key) is not None:
            facts[key.capitalize()] = run.config[key]
    for split, title in split_titles(metrics).items():
        for name, value in metrics.get(split, {}).get("measured", {}).items():
            facts[f"{name.capitalize()}, {title}"] = share(value)
    facts["PyTorch"] = metrics.get("versions", {}).get("torch", torch.__version__)
    return facts


def _command(run: RunRecord) -> str:
    parts = [str(run.config[key]) for key in ("command", "method") if run.config.get(key)]
    return " ".join(["resemblance", *parts]) if parts else ""
