"""The content of a report page, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from resemblance.config.words import PROTOTYPES, Words
from resemblance.explain.explanation import Explanation
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.text import percent
from resemblance.metrics.confusion import accuracy

BIG_GAP = 0.01  # of accuracy, to the black box


@dataclass(frozen=True)
class SplitResult:
    """The accuracy and the confusion matrix of a model on one set of images.

    Args:
        name: ``validation`` or ``test``, usually.
        confusion: (C, C) counts, one row per true class, one column per predicted class.
        black_box: accuracy of the black box on the same images, where known.

    Example:
        >>> import numpy as np
        >>> result = SplitResult("test", np.array([[8, 2], [0, 10]]), black_box=0.95)
        >>> result.images, result.accuracy, round(result.gap, 3)
        (20, 0.9, 0.05)
    """

    name: str
    confusion: NDArray[Any]
    black_box: float | None = None

    @property
    def images(self) -> int:
        """How many images there were."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of them that is classified correctly; NaN without images."""
        return accuracy(self.confusion)

    @property
    def gap(self) -> float | None:
        """The accuracy lost against the black box; negative where the model is better."""
        return None if self.black_box is None else self.black_box - self.accuracy


@dataclass(frozen=True)
class ReportFigure:
    """A finished figure of the report.

    Args:
        title: its heading.
        png: the file.
        alt: what it shows, for those who cannot see it.
        caption: below it.
    """

    title: str
    png: bytes
    alt: str
    caption: str = ""


@dataclass
class RunReport:
    """The content of a report on one run.

    Args:
        name: the run's name.
        method: the method's name.
        classes: their names.
        description: one line on the method.
        citation: the method's paper.
        data: what it was trained on.
        command: what made it.
        results: accuracy and confusion by split.
        prototypes: all of them.
        explanations: of single images, in the order in which they are shown.
        facts: name and value of whatever else is worth a line: encoder, epochs, minutes, seed.
        notes: sentences that must not be missed: "class x had no image to project to".
        configuration: the resolved configuration as text.
        figures: further figures.

    Example:
        >>> views = [PrototypeView(0, ("cat",), activations=4), PrototypeView(1, ("dog",), activations=0)]
        >>> report = RunReport("run", "protopnet", ("cat", "dog"), prototypes=views)
        >>> len(report.unused), report.warnings[0]
        (1, '1 of 2 prototypes is unused: no training image has it as its most similar one.')
    """

    name: str
    method: str
    classes: tuple[str, ...]
    description: str = ""
    citation: str = ""
    data: str = ""
    command: str = ""
    results: list[SplitResult] = field(default_factory=list)
    prototypes: list[PrototypeView] = field(default_factory=list)
    explanations: list[Explanation] = field(default_factory=list)
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    configuration: str = ""
    figures: list[ReportFigure] = field(default_factory=list)

    @property
    def words(self) -> Words:
        """What the method calls its prototypes, and the numbers beside them."""
        if self.prototypes:
            return self.prototypes[0].words
        return self.explanations[0].words if self.explanations else PROTOTYPES

    @property
    def unused(self) -> list[PrototypeView]:
        """Prototypes that are the most similar one to no training image."""
        return [view for view in self.prototypes if view.unused]

    @property
    def duplicates(self) -> list[list[PrototypeView]]:
        """Groups of prototypes that show the same part of the same training image for the same classes."""
        groups: dict[Any, list[PrototypeView]] = {}
        for view in self.prototypes:
            source = view.item.source.data if view.item.source else view.source_index
            if source is not None and not view.decoded:
                groups.setdefault((source, view.box, view.classes), []).append(view)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def without_prototypes(self) -> list[str]:
        """Classes that no prototype belongs to, where prototypes belong to classes at all."""
        owned = {name for view in self.prototypes for name in view.classes}
        return [name for name in self.classes if name not in owned] if owned else []

    @property
    def warnings(self) -> list[str]:
        """Where the model's reasons should not be taken at their word."""
        sentences = [text for result in self.results for text in _gap_warning(result)]
        words, count = self.words, len(self.prototypes)
        if self.unused:
            verb, it = ("is", "it") if len(self.unused) == 1 else ("are", "one of them")
            use = f"has {it} as its most similar one"
            if any(explanation.paths for explanation in self.explanations):
                use = f"has {it} on its most probable path"
            sentences.append(
                f"{len(self.unused)} of {count} {words.many} {verb} unused: no training image {use}."
            )
        if self.duplicates:
            total = sum(len(group) for group in self.duplicates)
            parts = any(view.box for group in self.duplicates for view in group)
            sentences.append(
                f"{total} {words.many} show {len(self.duplicates)} picture{'s' * (len(self.duplicates) > 1)} "
                f"between them: the same {'part of the same ' * parts}training image, several times."
            )
        if self.without_prototypes:
            names = ", ".join(self.without_prototypes[:5]) + (
                ", …" if len(self.without_prototypes) > 5 else ""
            )
            sentences.append(
                f"No {words.one} belongs to {names}: the model can give no reason of their own for them."
            )
        silent = [e for e in self.explanations if e.abstained]
        if silent:
            sentences.append(
                f"The model gives no answer to {len(silent)} of the {len(self.explanations)} images below."
            )
        answered = [e for e in self.explanations if not e.abstained]
        weak = [e for e in answered if any(b.share < 0.5 and b.others for b in e.breakdowns)]
        if weak:
            sentences.append(
                f"In {len(weak)} of {len(self.explanations)} explanations the reasons shown carry less than "
                "half of what was added up."
            )
        broken = [e for e in self.explanations if not all(b.adds_up for b in e.breakdowns)]
        if broken:
            sentences.append(f"In {len(broken)} explanations the reasons do not add up to the score.")
        return sentences


def _gap_warning(result: SplitResult) -> list[str]:
    if result.gap is None or not result.gap > BIG_GAP:
        return []
    return [
        f"Of the {result.name} images the model classifies {percent(result.accuracy)} correctly, the black box "
        f"{percent(result.black_box or 0.0)}: {100 * result.gap:.1f} percentage points are the price of its reasons."
    ]
