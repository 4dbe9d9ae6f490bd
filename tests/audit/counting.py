"""A check that counts images, for tests of the runner and the command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from resemblance.audit.audit_check import Check, Record
from resemblance.audit.audited import no_labels
from resemblance.audit.finding import Example, Finding
from resemblance.drawing.style import new_figure, png
from resemblance.metrics.suite.result import Value


class Counting(Check):
    """Counts images, and the parts that were examined in this process."""

    name: ClassVar[str] = "nonsense"
    title: ClassVar[str] = "Counting"
    examined: ClassVar[list[int]] = []
    stop_before: ClassVar[int | None] = None

    def parts(self) -> int:
        return 3

    def examine(self, part: int) -> Record:
        if part == type(self).stop_before:
            raise KeyboardInterrupt
        type(self).examined.append(part)
        batch = self.subject.read([part, part + 1])
        assert not self.subject.model.training
        assert not any(parameter.requires_grad for parameter in self.subject.model.parameters())
        return {"sum": batch.images.sum(), "indices": batch.indices}

    def finding(self, records: Sequence[Record]) -> Finding:
        total = float(torch.stack([record["sum"] for record in records]).sum())
        value = Value(self.name, "sum <of> pixels", total, "lower", "It is counted.", "0.")
        figure = new_figure(1, 1)
        return Finding(
            self.name,
            self.title,
            "failed",
            "The pixels <b>add</b> up.",
            "Adds pixels.",
            (value,),
            "Subtract them.",
            (Example("An <empty> picture", png(figure)),),
            notes=("A note.",),
        )


class NeedsLabels(Counting):
    """Applies to labelled images only."""

    name: ClassVar[str] = "shifts"
    examined: ClassVar[list[int]] = []
    needs = (no_labels,)
