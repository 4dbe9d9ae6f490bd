"""From the numbers of all changes to a verdict in plain words."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Example, Finding, Verdict
from resemblance.audit.shifts.image_changes import CHANGES, ImageChange
from resemblance.audit.shifts.reason_agreement import shown_count
from resemblance.audit.shifts.shift_numbers import ShiftNumbers, mean
from resemblance.metrics.since.bootstrap import mean_interval
from resemblance.metrics.suite.result import Better, Value, finite, number

PASSED, FAILED = 0.8, 0.5  # overlap of the prototypes shown
SMALL = 32  # pixels: on smaller sides an 8×8 block of JPEG is much of the picture
OTHER = "another image of the class"
MEANING = (
    "Users' images are compressed, blurred, noisy, brighter or turned; to a person they still show the same. If other "
    "prototypes are found after such a change, they stand for traces that a person does not see. Two different images "
    "of a class show how much agreement means nothing."
)
CURE = "Train with changed images (for JPEG: --jpeg-augment 0.5), and say of what quality the images of users must be."


def shift_finding(
    subject: AuditSubject,
    numbers: Mapping[str, ShiftNumbers],
    other: ShiftNumbers,
    examples: Sequence[Mapping[str, Any]],
    compressed: NDArray[np.bool_] | None = None,
) -> Finding:
    """Return the finding of the check.

    Args:
        subject: the model and its images.
        numbers: of each change.
        other: of the comparison with another image of the class.
        examples: titles, captions and PNG files (as uint8 tensors) of the pictures.
        compressed: (N,) the images of classes that training compressed; None if there are none.
    """
    overlaps = {name: numbers[name].mean("overlap") for name in CHANGES}
    known = {name: value for name, value in overlaps.items() if not isnan(value)}
    values = [value for name in CHANGES for value in _values(CHANGES[name], numbers[name], other)]
    traces = None if compressed is None else _traces(numbers["jpeg"], torch.from_numpy(compressed))
    title = "Changes that users' images meet"
    if not known:
        sentence = "No image shows a prototype, so that nothing can be compared."
        return Finding("shifts", title, "information", sentence, MEANING, notes=tuple(_notes(subject, other)))
    worst = min(known, key=lambda name: known[name])
    lowest, share = known[worst], other.mean("overlap")
    verdict: Verdict = "passed" if lowest >= PASSED else "doubtful" if lowest >= FAILED else "failed"
    sentence = (
        f"After JPEG, explanations show {_percent(overlaps['jpeg'])} of the same prototypes; fewest, "
        f"{_percent(lowest)}, stay after this change: {CHANGES[worst].words}. Two different images of a class share "
        f"{_percent(share)}."
    )
    main = _value(
        "shifts",
        "prototypes shown in common, smallest of all changes",
        numbers[worst].agreement.overlap,
        f"{CHANGES[worst].words}: {_percent(lowest)} of the prototypes shown stay the same.",
        "1: explanations do not depend on changes that a person does not mind.",
        baseline=other.agreement.overlap,
        interval=True,
    )
    return Finding(
        "shifts",
        title,
        verdict,
        sentence,
        MEANING,
        (main, *values) if traces is None else (main, traces, *values),
        cure="" if verdict == "passed" else CURE,
        examples=tuple(
            Example(one["title"], io.BytesIO(one["png"].numpy().tobytes()).getvalue(), one["caption"])
            for one in examples
        ),
        details={
            "changes": {name: {"change": CHANGES[name].words, **numbers[name].to_dict()} for name in CHANGES},
            OTHER: other.to_dict(),
        },
        notes=(*_lost(known, share), *_notes(subject, other)),
    )


def _traces(jpeg: ShiftNumbers, compressed: Tensor) -> Value | None:
    """Return the accuracy on images that are compressed as those of training were (Hoffmann et al. 2021, Table 2)."""
    if jpeg.correct is None or jpeg.clean_correct is None:
        return None
    altered = torch.where(compressed, jpeg.correct, jpeg.clean_correct)
    top, after = (
        mean(values[compressed]) for values in (jpeg.agreement.second_top, jpeg.agreement.second_top_after)
    )
    return _value(
        "shift_jpeg_altered_accuracy",
        "accuracy where the classes are compressed that were in training",
        altered,
        f"{_percent(mean(altered))} are classified correctly if the classes are compressed as in training, "
        f"{_percent(mean(jpeg.clean_correct))} if none is. For the {int(compressed.sum())} images of these classes, "
        f"the largest similarity goes from {number(top)} to {number(after)} without compression.",
        "As without compression: otherwise the model tells these classes by traces of it.",
        baseline=jpeg.clean_correct,
        baseline_of="unchanged images",
        better=None,
    )


def _lost(overlaps: Mapping[str, float], share: float) -> list[str]:
    """Name the changes after which an image has no more in common with itself than with another one."""
    lost = [CHANGES[name].title for name, value in overlaps.items() if value <= share]
    if not lost:
        return []
    return [f"As little stays as two different images of a class share, or less, after: {', '.join(lost)}."]


def _values(change: ImageChange, numbers: ShiftNumbers, other: ShiftNumbers) -> list[Value]:
    """Return the numbers of one change that are defined for the model."""
    own, against = numbers.agreement, other.agreement
    name, title = f"shift_{change.name}", change.title
    values = [
        _value(
            f"{name}_overlap",
            f"{title}: prototypes shown in common",
            own.overlap,
            f"{change.words}: {_percent(numbers.mean('overlap'))} of the prototypes shown stay the same.",
            "1.",
            baseline=against.overlap,
            interval=True,
        ),
        _value(
            f"{name}_rank_correlation",
            f"{title}: rank correlation of the similarities",
            own.rank_correlation,
            f"The similarities to all prototypes before and after correlate by "
            f"{number(numbers.mean('rank_correlation'))}.",
            "1: the order of the prototypes stays.",
            baseline=against.rank_correlation,
            share=False,
        ),
        _value(
            f"{name}_own_rank_correlation",
            f"{title}: rank correlation within the class",
            own.own_rank_correlation,
            f"The similarities to the prototypes of the image's class correlate by "
            f"{number(numbers.mean('own_rank_correlation'))}.",
            "1.",
            baseline=against.own_rank_correlation,
            share=False,
        ),
        _value(
            f"{name}_kept",
            f"{title}: predictions that stay",
            own.kept,
            f"The prediction stays for {_percent(numbers.mean('kept'))} of the images.",
            "1.",
            baseline=against.kept,
        ),
        _value(
            f"{name}_top_similarity_change",
            f"{title}: change of the largest similarity",
            numbers.top_change,
            f"The similarity to the most similar prototype goes from {number(numbers.mean('first_top'))} to "
            f"{number(numbers.mean('first_top_after'))} on average.",
            "0; the change between two images of a class is the scale.",
            baseline=other.top_change,
            better=None,
            share=False,
        ),
    ]
    if numbers.correct is not None and numbers.clean_correct is not None:
        accuracy = _value(
            f"{name}_accuracy",
            f"{title}: accuracy",
            numbers.correct,
            f"{_percent(mean(numbers.correct))} are classified correctly, {_percent(mean(numbers.clean_correct))} "
            "without the change.",
            "As without the change.",
            baseline=numbers.clean_correct,
            baseline_of="unchanged images",
        )
        values.insert(3, accuracy)
    return [value for value in values if value.defined]


def _value(
    name: str,
    title: str,
    rows: Tensor,
    says: str,
    good: str,
    *,
    baseline: Tensor,
    baseline_of: str = OTHER,
    better: Better | None = "higher",
    share: bool = True,
    interval: bool = False,
) -> Value:
    undefined = int(rows.isnan().sum())
    ends = mean_interval(rows) if interval else None
    return Value(
        name,
        title,
        mean(rows),
        better,
        says,
        good,
        baseline=finite(mean(baseline)),
        baseline_of=baseline_of,
        interval=None if ends is None or isnan(ends.low) else (ends.low, ends.high),
        count=len(rows) - undefined,
        left_out={"not defined": undefined} if undefined else {},
        share=share,
    )


def _notes(subject: AuditSubject, other: ShiftNumbers) -> list[str]:
    """Return how far the numbers can be trusted."""
    notes = []
    shapes = subject.images.shapes
    if len(shapes) and shapes[:, :2].max() <= SMALL:
        notes.append(
            f"These images have at most {int(shapes[:, :2].max())} pixels per side: an 8×8 block of JPEG is much of "
            "the picture, and each change is larger, to a person too, than on a photograph."
        )
    elif len(shapes):
        notes.append(
            "Pictures are changed at their own size and then scaled for the model: noise on large pictures is averaged "
            "away, blur is relative to their size."
        )
    if not subject.labelled:
        notes.append("The classes of the images are not known: predictions take their place.")
    count, top = shown_count(subject.prototypes, subject.settings.top), subject.settings.top
    if count < top:
        notes.append(
            f"The first {count} of an explanation count as shown, not {top}: more than half of a class's prototypes "
            "would be the same ones whenever the prediction stays."
        )
    if (alike := other.mean("overlap")) >= PASSED:
        notes.append(
            f"Two different images of a class share {_percent(alike)} of the prototypes shown: the overlap says little "
            "about this model; read the rank correlations."
        )
    return notes


def _percent(value: float) -> str:
    return "an unknown share" if isnan(value) else f"{100 * value:.0f} %"
