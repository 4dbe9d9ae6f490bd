"""The check of changes that users' images meet: are the same prototypes found after them?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Finding
from resemblance.audit.shifts.image_changes import CHANGES
from resemblance.audit.shifts.image_versions import read_versions
from resemblance.audit.shifts.reason_agreement import Agreement, Reasons, agreement, reasons_of
from resemblance.audit.shifts.shift_finding import shift_finding
from resemblance.audit.shifts.shift_numbers import ShiftNumbers
from resemblance.audit.shifts.shift_pictures import chosen_rows, shift_examples
from resemblance.data.sources.compressed import originals
from resemblance.metrics.suite.model_subject import no_prototypes


def other_of_class(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each image the next one of its class (N,), the first one after the last; −1 for the only one.

    Example:
        >>> other_of_class(np.array([0, 1, 0, 2, 0])).tolist()
        [2, -1, 4, -1, 0]
    """
    order = np.argsort(classes, kind="stable")
    ordered = classes[order]
    following = np.roll(order, -1)
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    ends = np.append(starts[1:], len(ordered)) - 1
    following[ends[: len(starts)]] = order[starts]
    others = np.empty_like(order)
    others[order] = np.where(following == order, -1, following)
    return others


class ShiftsCheck(Check):
    """Compare the reasons for each image with those for the image after JPEG, blur, noise and other changes.

    Beside them stands the same comparison with another image of the class, which should agree less.
    """

    name: ClassVar[str] = "shifts"
    title: ClassVar[str] = "Changes that users' images meet"
    needs = (no_prototypes,)

    def __init__(self, subject: AuditSubject) -> None:
        super().__init__(subject)
        # Compressed for training, some images would seem to bear compression well: it would be their second one.
        self.images, self.compressed = originals(subject.images)

    def parts(self) -> int:
        """Return the number of batches."""
        return -(-len(self.images) // self.subject.settings.batch_size)

    def examine(self, part: int) -> Record:
        """Compare the reasons for one batch of images with those for their changed versions."""
        subject, settings = self.subject, self.subject.settings
        model = subject.explains
        assert model is not None
        first = part * settings.batch_size
        positions = np.arange(first, min(first + settings.batch_size, len(self.images)))
        images = read_versions(
            self.images,
            positions.tolist(),
            list(CHANGES.values()),
            subject.model.spec.image,
            settings.seed,
        ).to(model.device)
        versions = [reasons_of(model, version, settings.top) for version in images]
        clean = versions[0]
        own = self._own(positions, clean)
        record: Record = {
            "clean": clean.predicted,
            "labels": torch.from_numpy(self.images.labels[positions]),
            "other": self._other(positions, clean, own)._asdict(),
            "shifts": {
                name: {"predicted": changed.predicted, **agreement(clean, changed, own)._asdict()}
                for name, changed in zip(CHANGES, versions[1:], strict=True)
            },
        }
        if part == 0 and settings.examples:
            correct = clean.predicted == record["labels"] if subject.labelled else None
            rows = chosen_rows(agreement(clean, versions[1], own), correct)
            record["examples"] = shift_examples(subject, images, versions, rows)
        return record

    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the finding: for each change, what stays the same."""
        labelled = self.subject.labelled
        numbers = {
            name: ShiftNumbers.of([{**record, **record["shifts"][name]} for record in records], labelled)
            for name in CHANGES
        }
        other = ShiftNumbers.of([{**record, **record["other"]} for record in records], labelled)
        examples = records[0].get("examples", []) if records else []
        return shift_finding(self.subject, numbers, other, examples, self.compressed)

    @cached_property
    def _others(self) -> NDArray[np.int64]:
        subject = self.subject
        return other_of_class(self.images.labels if subject.labelled else subject.predictions.numpy())

    def _own(self, positions: NDArray[np.int64], clean: Reasons) -> Tensor | None:
        """Return the prototypes of each image's true class, or of its predicted one without labels."""
        owners = self.subject.prototypes.owners.cpu()
        if not owners.any():
            return None
        labels = torch.from_numpy(self.images.labels[positions])
        return owners.T[labels if self.subject.labelled else clean.predicted]

    def _other(self, positions: NDArray[np.int64], clean: Reasons, own: Tensor | None) -> Agreement:
        """Compare images with another image of their class; NaN where there is none."""
        model = self.subject.explains
        assert model is not None
        others = self._others[positions]
        rows = torch.from_numpy(np.flatnonzero(others >= 0))
        result = Agreement(
            *(torch.full((len(others),), torch.nan, dtype=torch.float64) for _ in Agreement._fields)
        )
        if len(rows):
            batch = self.subject.read(others[others >= 0], self.images)
            second = reasons_of(model, batch.images, self.subject.settings.top)
            first = Reasons(*(values[rows] for values in clean))
            some = agreement(first, second, None if own is None else own[rows])
            for values, known in zip(result, some, strict=True):
                values[rows] = known
        return result
