"""The page about an audit: a plain verdict per check, what it rests on, and example pictures."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from resemblance.report.audit.audit_summary import WORDS
from resemblance.report.links import report_link
from resemblance.report.page import PageRenderer
from resemblance.runs.audited_run import RunAudit


def audit_page(audit: RunAudit, path: Path, date: datetime | None = None) -> str:
    """Return the page as HTML, without network or script, with all text escaped.

    Args:
        audit: the result.
        path: where the page will be, for its link to the report of the run.
        date: the date on the page; by default now.
    """
    renderer = PageRenderer([])
    body = renderer.render(
        "audit.html.j2",
        audit=audit,
        subject=audit.subject,
        settings=audit.subject.settings,
        findings=audit.result.findings,
        left_out=audit.result.left_out,
        words=WORDS,
        report=report_link(audit.run.folder, path),
    )
    sections = [
        ("summary", "Summary"),
        *((finding.check, finding.title) for finding in audit.result.findings),
        ("how", "How to read this page"),
    ]
    return renderer.page("sections_page.html.j2", f"Audit of {audit.run.name}", body, date, sections=sections)
