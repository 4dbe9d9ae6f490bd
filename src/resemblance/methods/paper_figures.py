"""The figures of a method's own paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from resemblance.core.classifier import Classifier
from resemblance.data.sources.source import Source


@dataclass(frozen=True)
class FigureInputs:
    """The images and snapshots that the figures of a method are drawn from, in addition to the model.

    Args:
        images: (N, C, H, W) in [0, 1], a few of them.
        labels: (N,), the classes of these images.
        source: all the images of that set.
        snapshots: snapshots of training, as `training.watch.snapshots.read_snapshots` returns them.
        train: the training images, among which the sources of the prototypes are counted; None if not available.
    """

    images: Tensor
    labels: Tensor
    source: Source
    snapshots: Sequence[tuple[int, dict[str, Any]]] = field(default_factory=tuple)
    train: Source | None = None


@dataclass(frozen=True)
class PaperFigure:
    """A figure and its caption."""

    figure: Figure
    caption: str = ""


def paper_figures(model: Classifier, inputs: FigureInputs) -> dict[str, PaperFigure]:
    """Draw the figures of a method's paper for a trained model, by title.

    A method defines them as ``figures(model, inputs)`` in the module ``figures`` next to its model. The result is empty
    for a method without that module.
    """
    package = model.config.model.partition(":")[0].rpartition(".")[0]
    name = f"{package}.figures"
    if not package or find_spec(name) is None:
        return {}
    draw: Callable[[Classifier, FigureInputs], dict[str, PaperFigure]] = import_module(name).figures
    return draw(model, inputs)
