"""Collect the content of a page about a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resemblance.core.classifier import Classifier
from resemblance.explain.explanation import Explanation
from resemblance.explain.prototype_view import prototype_views
from resemblance.printing.places import without_places
from resemblance.report.content import ReportFigure, RunReport, SplitResult


def collect(
    model: Classifier,
    name: str,
    *,
    data: str = "",
    command: str = "",
    confusions: Mapping[str, NDArray[Any]] | None = None,
    black_box: Mapping[str, float] | None = None,
    agreement: Mapping[str, float] | None = None,
    sure: Mapping[str, tuple[int, int]] | None = None,
    explanations: Iterable[Explanation] = (),
    facts: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    configuration: str = "",
    figures: Sequence[ReportFigure] = (),
) -> RunReport:
    """Make the report of a model from its prototypes, its method, and the facts that the caller passes.

    Args:
        model: any model; the report of a model without prototypes has no prototypes and explanations.
        name: the run's name.
        data: the data that it was trained on.
        command: the command that made it.
        confusions: (C, C) counts for each split, one row per true class.
        black_box: the black box's accuracy on each split.
        agreement: the share of the images of each split for which model and black box predict the same class.
        sure: the images of each split of whose class the model is sure, and how many of them are correct.
        explanations: explanations of single images.
        facts: further lines of the summary, by name.
        notes: sentences that the reader should know.
        configuration: the complete configuration as text.
        figures: further figures.

    Example:
        >>> from resemblance.config.image import ImageSpec
        >>> from resemblance.config.model import ModelSpec
        >>> from resemblance.methods.registry import build
        >>> spec = ModelSpec(("zero", "one"), ImageSpec(28, 28, 1, (0.0,), (1.0,)))
        >>> report = collect(build("protopnet", {"encoder": "small"}, spec), "run", facts={"Seed": 0})
        >>> report.method, len(report.prototypes)
        ('protopnet', 20)
    """
    black_box, agreement, sure = black_box or {}, agreement or {}, sure or {}
    results = [
        SplitResult(split, np.asarray(confusion), black_box.get(split), agreement.get(split), sure.get(split))
        for split, confusion in (confusions or {}).items()
    ]
    encoder = getattr(getattr(model, "encoder", None), "description", None)
    # Folders of earlier versions have the places of files in their facts.
    facts = without_places(({"Encoder": encoder} if encoder else {}) | dict(facts or {}))
    return RunReport(
        name=name,
        method=model.name,
        classes=model.spec.classes,
        description=getattr(model.config, "line", ""),
        citation=getattr(model.config, "citation", ""),
        data=without_places(data),
        command=command,
        results=results,
        prototypes=prototype_views(model),
        explanations=list(explanations),
        facts=facts,
        notes=without_places(list(notes)),
        configuration=configuration,
        figures=list(figures),
    )
