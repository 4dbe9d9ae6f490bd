"""From a run folder to what its report says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch

from resemblance.commands.latents import embedded_images
from resemblance.commands.runs import CONFIG, METRICS, Run, choose
from resemblance.config.errors import UserError
from resemblance.config.listing import method_configs
from resemblance.core.catalogue import prototype_views
from resemblance.core.explain import explain_batch
from resemblance.core.explanation import Explanation
from resemblance.data.dataset import ImageDataset
from resemblance.data.source import DataSplits, Source, Subset
from resemblance.methods.prototypedl import PrototypeDL
from resemblance.report.content import ReportFigure, RunReport, SplitResult
from resemblance.report.style import png
from resemblance.training.evaluation import evaluate
from resemblance.training.snapshots import read_snapshots

SEARCHED = 1000  # images that are looked through for wrong answers, where no list of them is at hand
DRAWN = 1000  # images in the figure of the latent space


def run_report(
    run: Run,
    splits: DataSplits | None,
    *,
    explain: int = 8,
    top: int = 5,
    seed: int = 0,
    batch_size: int = 128,
    workers: int = 0,
) -> RunReport:
    """Gather what there is to say of a run.

    Args:
        run: with its model.
        splits: its images; None if they are not at hand: then nothing is explained.
        explain: how many images to explain, wrong answers first.
        top: reasons of each.
        seed: which images are explained follows from it.
        batch_size: images a batch.
        workers: loader processes.
    """
    model = run.model
    metrics = _metrics(run)
    config = method_configs().get(model.name)
    report = RunReport(
        run.name,
        model.name,
        model.spec.classes,
        description=config.line if config else "",
        citation=config.citation if config else "",
        data=str(model.facts.get("data", "")),
        command=_command(run),
        results=_results(metrics),
        prototypes=prototype_views(model),
        facts=_facts(run, metrics),
        notes=[str(note) for note in model.facts.get("notes", [])],
        configuration=_configuration(run),
    )
    if splits is None:
        report.notes.append("The images were not at hand when this page was written: no answer is explained.")
        return report
    name, source = choose(splits, "auto")
    known = metrics.get(name, {}).get("wrong")
    if model.explains and explain:
        chosen = pick(run, source, explain, seed, known, batch_size, workers)
        report.explanations = explain_images(run, source, chosen, top)
    report.figures = _figures(run, source, seed, batch_size, workers)
    return report


def pick(
    run: Run, source: Source, count: int, seed: int, wrong: list[int] | None, batch_size: int, workers: int
) -> list[int]:
    """Indices of images to explain: wrong answers first, half of them at most."""
    order = np.random.default_rng(seed).permutation(len(source))
    if wrong is None:
        order = order[:SEARCHED]
        found = evaluate(run.model, Subset(source, order), batch_size=batch_size, workers=workers)
        wrong = [int(order[position]) for position in found.wrong]
    missed = set(wrong)
    bad = [int(index) for index in order if index in missed]
    good = [int(index) for index in order if index not in missed]
    half = max(count - len(good), count // 2)
    return [*bad[:half], *good[: count - len(bad[:half])]]


def explain_images(run: Run, source: Source, indices: list[int], top: int) -> list[Explanation]:
    """Explain images of a source, which knows their classes."""
    return explain_batch(
        run.model,
        [source.read(index) for index in indices],
        top=top,
        labels=[int(source.labels[index]) for index in indices],
        names=[source.name(index) for index in indices],
    )


def _figures(run: Run, source: Source, seed: int, batch_size: int, workers: int) -> list[ReportFigure]:
    from resemblance.commands.latents import latent_space_figure

    model = run.model
    figures = []
    if isinstance(model, PrototypeDL):
        from resemblance.report.prototypedl import paper_figures

        snapshots = read_snapshots(run.folder) if run.folder is not None else []
        images = ImageDataset(source, model.spec.image).__getitems__(list(range(min(8, len(source))))).images
        for title, figure in paper_figures(model, images, snapshots).items():
            figures.append(ReportFigure(title, png(figure), title))
    embedded = embedded_images(run, source, DRAWN, seed, "pca", batch_size, workers)
    figures.append(
        ReportFigure(
            "Latent space",
            png(latent_space_figure(run, embedded)),
            "Images as points and prototypes as squares in two dimensions",
            f"{len(embedded.labels)} images in their two principal components ({embedded.explained:.0%} of "
            "the variance); squares are prototypes, the larger, the more often they are the most similar one.",
        )
    )
    return figures


def _results(metrics: dict[str, Any]) -> list[SplitResult]:
    results = []
    for key, name in (("val", "validation"), ("test", "test")):
        if found := metrics.get(key):
            box = (metrics.get("black_box") or {}).get(key, found.get("black_box"))
            results.append(SplitResult(name, np.array(found["confusion"]), box))
    return results


def _facts(run: Run, metrics: dict[str, Any]) -> dict[str, Any]:
    model, image = run.model, run.model.spec.image
    facts: dict[str, Any] = {}
    if description := getattr(getattr(model, "encoder", None), "description", ""):
        facts["encoder"] = description
    facts["images"] = f"{image.height}×{image.width}, {'grey' if image.channels == 1 else 'RGB'}"
    if model.prototypes is not None:
        facts["prototypes"] = len(model.prototypes)
    if metrics.get("seconds"):
        facts["minutes"] = round(metrics["seconds"] / 60, 1)
    for key in ("seed", "epochs", "precision", "variant"):
        if run.config.get(key) is not None:
            facts[key] = run.config[key]
    facts["torch"] = metrics.get("versions", {}).get("torch", torch.__version__)
    return facts


def _metrics(run: Run) -> dict[str, Any]:
    path = None if run.folder is None else run.folder / METRICS
    if path is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _command(run: Run) -> str:
    parts = [str(run.config[key]) for key in ("command", "method") if run.config.get(key)]
    return " ".join(["resemblance", *parts]) if parts else ""


def _configuration(run: Run) -> str:
    path = None if run.folder is None else run.folder / CONFIG
    return path.read_text(encoding="utf-8") if path is not None and path.is_file() else ""
