"""The verdicts of a run's audit, for its report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.config.files.json_file import read_json
from resemblance.report.links import audit_link
from resemblance.runs.folders import AUDIT, AUDIT_DOCUMENT

WORDS = {"passed": "passed", "doubtful": "doubtful", "failed": "failed", "information": "for information"}


@dataclass(frozen=True)
class AuditSummary:
    """What a report says of the audit in the run folder.

    Args:
        address: of the audit's page, as seen from the report.
        verdicts: title and verdict of each check; empty if the audit's document cannot be read.
    """

    address: str
    verdicts: Sequence[tuple[str, str]]


def audit_summary(folder: Path | None, page: Path) -> AuditSummary | None:
    """Return what a report says of the audit in a run folder; None if there is none.

    Args:
        folder: the run folder; None if the run has none.
        page: the report.

    Example:
        >>> audit_summary(Path("nowhere"), Path("report.html")) is None
        True
    """
    address = audit_link(folder, page)
    if folder is None or not address:
        return None
    findings: Any = None
    with suppress(UserError):  # the page can be read all the same
        findings = read_json(folder / AUDIT / AUDIT_DOCUMENT).get("findings")
    listed = findings if isinstance(findings, list) else []
    return AuditSummary(
        address,
        [
            (str(one.get("title", ""))[:80], WORDS[one["verdict"]])
            for one in listed
            if isinstance(one, dict) and one.get("verdict") in WORDS
        ],
    )
