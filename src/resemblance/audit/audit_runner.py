"""Run checks on a model, part by part, with what is done kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resemblance.audit.audit_check import Record
from resemblance.audit.audited import AuditSubject
from resemblance.audit.catalogue import CHECKS
from resemblance.audit.finding import Finding
from resemblance.encoders.probe import evaluating, without_gradients
from resemblance.metrics.suite.applicable import applicable
from resemblance.metrics.suite.partial import Partial
from resemblance.metrics.suite.result import LeftOut
from resemblance.training.devices.pool import map_over_devices


@dataclass(frozen=True)
class AuditResult:
    """All findings about one model.

    Args:
        findings: the finding of each check.
        left_out: the checks that do not apply, with the reason.
    """

    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary."""
        return {
            "findings": [finding.to_dict() for finding in self.findings],
            "left_out": [one.to_dict() for one in self.left_out],
        }


def run_checks(
    subject: AuditSubject, names: Sequence[str], *, folder: Path | None = None, progress: bool = False
) -> AuditResult:
    """Run checks on a model; the model and its gradients stay as they were.

    Args:
        subject: the model and the images.
        names: the checks, by name.
        folder: where the records are kept every few seconds, from which a stopped audit goes on; None for nowhere.
        progress: whether to show bars.

    Raises:
        UserError: if an image cannot be read.
    """
    with evaluating(subject.model), without_gradients(subject.model):
        checks, left_out = applicable(CHECKS, subject, names)
        partial = Partial(folder, subject.key(names))
        done: dict[str, list[Record]] = partial.read() or {}
        findings = []
        for check in checks:
            records = done.setdefault(check.name, [])
            title = f"{subject.name}: {check.title.lower()}"
            for record in map_over_devices(
                check.examine, range(len(records), check.parts()), title, progress
            ):
                records.append(record)
                partial.save(lambda: done)
            findings.append(check.finding(records))
            partial.save(lambda: done, now=bool(records))
    return AuditResult(tuple(findings), tuple(left_out))


def remove_partial(subject: AuditSubject, names: Sequence[str], folder: Path | None) -> None:
    """Remove the records of an audit, after its results have been written."""
    Partial(folder, subject.key(names)).remove()
