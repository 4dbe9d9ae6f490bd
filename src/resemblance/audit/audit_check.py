"""The base of all checks: what one needs, its work in parts, and its finding."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from resemblance.audit.audited import AuditSubject
from resemblance.audit.finding import Finding
from resemblance.metrics.suite.applicable import Applicable

Record = dict[str, Any]  # tensors on the CPU, and plain values


class Check(Applicable[AuditSubject]):
    """Examines one property of a model's explanations.

    The work is done in parts, typically one batch of images each. The record of a finished part is saved, so that an
    audit that was stopped goes on with the next part; so a part depends on the subject and its number alone, and
    `finding` on the records alone.

    Args:
        subject: the model, and all that the check reads.
    """

    @abstractmethod
    def parts(self) -> int:
        """Return the number of parts; the order of the work is theirs."""

    @abstractmethod
    def examine(self, part: int) -> Record:
        """Do the work of one part, and return its record: tensors on the CPU, and plain values."""

    @abstractmethod
    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the finding from the records of all parts."""
