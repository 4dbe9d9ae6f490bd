"""The base of all checks: what one needs, its work in parts, and its finding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from resemblance.audit.audited import AuditSubject, Obstacle
from resemblance.audit.finding import Finding

Record = dict[str, Any]  # tensors on the CPU, and plain values


class Check(ABC):
    """Examines one property of a model's explanations.

    The work is done in parts, typically one batch of images each. The record of a finished part is saved, so that an
    audit that was stopped goes on with the next part; so a part depends on the subject and its number alone, and
    `finding` on the records alone.

    Args:
        subject: the model, and all that the check reads.

    Attributes:
        name: the name by which ``--checks`` asks for it.
        title: the heading of its finding.
        needs: the reasons for which a check does not apply, in the order in which they are looked at.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    needs: ClassVar[tuple[Obstacle, ...]] = ()

    def __init__(self, subject: AuditSubject) -> None:
        self.subject = subject

    @classmethod
    def obstacle(cls, subject: AuditSubject) -> str | None:
        """Return why the check does not apply to a model; None if it does."""
        return next((reason for need in cls.needs if (reason := need(subject)) is not None), None)

    @abstractmethod
    def parts(self) -> int:
        """Return the number of parts; the order of the work is theirs."""

    @abstractmethod
    def examine(self, part: int) -> Record:
        """Do the work of one part, and return its record: tensors on the CPU, and plain values."""

    @abstractmethod
    def finding(self, records: Sequence[Record]) -> Finding:
        """Return the finding from the records of all parts."""
