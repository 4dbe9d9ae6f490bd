"""The content of a report page, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from resemblance.config.words import PROTOTYPES, Words
from resemblance.explain.explanation import Explanation
from resemblance.explain.pictures.picture_warnings import picture_warnings
from resemblance.explain.prototype_view import PrototypeView
from resemblance.explain.rounding import percent
from resemblance.metrics.confusion import accuracy
from resemblance.report.audit.audit_summary import AuditSummary

BIG_GAP = 0.01  # the loss of accuracy against the black box from which the report warns
LOW_AGREEMENT = 0.99  # the agreement with the black box below which it warns


@dataclass(frozen=True)
class SplitResult:
    """The accuracy and the confusion matrix of a model on one split.

    Args:
        name: usually ``validation`` or ``test``.
        confusion: (C, C) counts, one row per true class, one column per predicted class.
        black_box: the accuracy of the black box on the same images, if known.
        agreement: the share of these images for which model and black box predict the same class, if known.
        sure: the images of whose class the model is sure, and how many of them are classified correctly, if known.

    Example:
        >>> import numpy as np
        >>> result = SplitResult("test", np.array([[8, 2], [0, 10]]), black_box=0.95)
        >>> result.images, result.accuracy, round(result.gap, 3)
        (20, 0.9, 0.05)
    """

    name: str
    confusion: NDArray[Any]
    black_box: float | None = None
    agreement: float | None = None
    sure: tuple[int, int] | None = None

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of images that are classified correctly; NaN without images."""
        return accuracy(self.confusion)

    @property
    def gap(self) -> float | None:
        """The accuracy lost against the black box; negative if the model is better."""
        return None if self.black_box is None else self.black_box - self.accuracy


@dataclass(frozen=True)
class ReportFigure:
    """A finished figure of the report.

    Args:
        title: its heading.
        png: the bytes of the PNG file.
        alt: its description for readers who cannot see it.
        caption: the text below it.
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
        classes: the names of the classes.
        description: one line about the method.
        citation: the method's paper.
        data: the data that it was trained on.
        command: the command that made it.
        results: the accuracy and the confusion matrix of each split.
        prototypes: all prototypes.
        explanations: explanations of single images, in the order in which they are shown.
        facts: names and values of further facts: encoder, epochs, minutes, seed.
        notes: sentences that the reader should know: "class x had no image to project to".
        configuration: the complete configuration as text.
        figures: further figures.
        evaluation: the address of the page about the run's evaluation; empty if there is none.
        audit: the verdicts of the run's audit, and the address of its page; None if there is none.

    Example:
        >>> views = [PrototypeView(0, ("cat",), activations=4), PrototypeView(1, ("dog",), activations=0)]
        >>> report = RunReport("run", "protopnet", ("cat", "dog"), prototypes=views)
        >>> len(report.unused), report.warnings[0]
        (1, '1 of 2 prototypes is unused: it is not the most similar one for any training image.')
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
    evaluation: str = ""
    audit: AuditSummary | None = None

    @property
    def words(self) -> Words:
        """The method's terms for its prototypes and their numbers."""
        if self.prototypes:
            return self.prototypes[0].words
        return self.explanations[0].words if self.explanations else PROTOTYPES

    @property
    def made(self) -> bool:
        """Whether anything is known of how it was made; nothing is on a page of single explanations."""
        return bool(
            self.data or self.results or self.facts or self.notes or self.command or self.configuration
        )

    @property
    def unused(self) -> list[PrototypeView]:
        """The prototypes that are not the most similar one for any training image."""
        return [view for view in self.prototypes if view.unused]

    @property
    def duplicates(self) -> list[list[PrototypeView]]:
        """The groups of prototypes that show the same part of the same training image for the same classes."""
        groups: dict[Any, list[PrototypeView]] = {}
        for view in self.prototypes:
            source = view.item.source.data if view.item.source else view.source_index
            if source is not None and not view.decoded:
                groups.setdefault((source, view.box, view.classes), []).append(view)
        return [group for group in groups.values() if len(group) > 1]

    @property
    def without_prototypes(self) -> list[str]:
        """The classes without prototypes; none if prototypes do not belong to classes."""
        owners = {name for view in self.prototypes for name in view.classes}
        return [name for name in self.classes if name not in owners] if owners else []

    @cached_property
    def picture_warnings(self) -> list[str]:
        """Sentences about prototypes whose pictures show nothing, or nothing of their own."""
        return picture_warnings(self.prototypes)

    @property
    def warnings(self) -> list[str]:
        """Sentences about reasons that are not reliable or do not represent the whole score."""
        sentences = [text for result in self.results for text in _black_box_warnings(result)]
        words, count = self.words, len(self.prototypes)
        if self.unused:
            be, it, verb = ("is", "it", "is") if len(self.unused) == 1 else ("are", "they", "are")
            use = f"{it} {verb} not the most similar one for any training image"
            if any(explanation.paths for explanation in self.explanations):
                use = f"{it} {verb} not on the most probable path of any training image"
            sentences.append(f"{len(self.unused)} of {count} {words.many} {be} unused: {use}.")
        if self.duplicates:
            total = sum(len(group) for group in self.duplicates)
            parts = any(view.box for group in self.duplicates for view in group)
            pictures = f"{len(self.duplicates)} different picture{'s' * (len(self.duplicates) > 1)}"
            sentences.append(
                f"{total} {words.many} show only {pictures}: several of them have the same "
                f"{'part of the same ' * parts}training image."
            )
        if self.without_prototypes:
            names = ", ".join(self.without_prototypes[:5]) + (
                ", …" if len(self.without_prototypes) > 5 else ""
            )
            sentences.append(
                f"No {words.one} belongs to {names}: the model's reasons for these classes belong to other classes."
            )
        sentences += self.picture_warnings
        abstained = [e for e in self.explanations if e.abstained]
        if abstained:
            sentences.append(
                f"The model makes no prediction for {len(abstained)} of the {len(self.explanations)} images below."
            )
        strange = sum(e.familiarity.unfamiliar for e in self.explanations)
        if strange:
            sentences.append(
                f"{strange} of the {len(self.explanations)} images below resemble{'s' * (strange == 1)} nothing the "
                "model knows."
            )
        predicted = [e for e in self.explanations if not e.abstained]
        weak = [e for e in predicted if any(e.misses(b) for b in e.breakdowns)]
        if weak:
            sentences.append(
                f"In {len(weak)} of {len(self.explanations)} explanations the reasons shown carry less than "
                "half of all contributions."
            )
        broken = [e for e in self.explanations if not all(b.adds_up for b in e.breakdowns)]
        if broken:
            sentences.append(f"In {len(broken)} explanations the reasons do not add up to the score.")
        return sentences


def _black_box_warnings(result: SplitResult) -> list[str]:
    sentences = []
    if result.gap is not None and result.gap > BIG_GAP:
        sentences.append(
            f"The model classifies {percent(result.accuracy)} of the {result.name} images correctly, the black box "
            f"{percent(result.black_box or 0.0)}: {100 * result.gap:.1f} percentage points of accuracy are lost."
        )
    if result.agreement is not None and result.agreement < LOW_AGREEMENT:
        sentences.append(
            f"For {percent(1 - result.agreement)} of the {result.name} images, the model and the black box predict "
            "different classes: the reasons shown for them are not the reasons for the black box's answer."
        )
    return sentences
