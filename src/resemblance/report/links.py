"""Links between the pages that lie in a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from resemblance.runs.folders import AUDIT, AUDIT_PAGE, EVALUATION, EVALUATION_PAGE, PAGE


def report_link(folder: Path | None, page: Path) -> str:
    """Return the address of a run's report, as seen from a page; empty if there is no report.

    Args:
        folder: the run folder; None if the run has none.
        page: the page with the link.

    Example:
        >>> report_link(None, Path("evaluation.html"))
        ''
    """
    return "" if folder is None else _link(folder / PAGE, page)


def evaluation_link(folder: Path | None, page: Path) -> str:
    """Return the address of a run's evaluation in its own folder, as seen from a page; empty if there is none.

    Args:
        folder: the run folder; None if the run has none.
        page: the page with the link.

    Example:
        >>> evaluation_link(Path("nowhere"), Path("report.html"))
        ''
    """
    return "" if folder is None else _link(folder / EVALUATION / EVALUATION_PAGE, page)


def audit_link(folder: Path | None, page: Path) -> str:
    """Return the address of a run's audit in its own folder, as seen from a page; empty if there is none.

    Args:
        folder: the run folder; None if the run has none.
        page: the page with the link.

    Example:
        >>> audit_link(Path("nowhere"), Path("report.html"))
        ''
    """
    return "" if folder is None else _link(folder / AUDIT / AUDIT_PAGE, page)


def _link(target: Path, page: Path) -> str:
    if not target.is_file():
        return ""
    try:
        relative = os.path.relpath(target.resolve(), page.resolve().parent)
    except ValueError:  # another drive of Windows
        return ""
    return quote(Path(relative).as_posix().encode("utf-8", "surrogateescape"))
