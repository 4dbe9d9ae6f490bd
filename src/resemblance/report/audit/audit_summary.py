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
        claims: for each figure that the folder claims, a sentence and whether the measured one differs.
    """

    address: str
    verdicts: Sequence[tuple[str, str]]
    claims: Sequence[tuple[str, bool]] = ()


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
    document: dict[str, Any] = {}
    with suppress(UserError):  # the page can be read all the same
        document = read_json(folder / AUDIT / AUDIT_DOCUMENT)
    return AuditSummary(
        address,
        [
            (str(one.get("title", ""))[:80], WORDS[one["verdict"]])
            for one in _listed(document, "findings")
            if one.get("verdict") in WORDS
        ],
        [(str(one.get("says", ""))[:300], bool(one.get("differs"))) for one in _listed(document, "claims")],
    )


def _listed(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    entries = document.get(key)
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
