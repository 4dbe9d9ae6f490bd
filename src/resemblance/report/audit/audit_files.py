"""Write all that an audit yields into a folder: JSON, JUnit XML, pictures and a page."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from resemblance.config.audit.check_names import CHECKS
from resemblance.printing.characters import printable
from resemblance.report.audit.audit_page import audit_page
from resemblance.runs.audited_run import RunAudit
from resemblance.runs.folders import AUDIT_DOCUMENT, AUDIT_JUNIT, AUDIT_PAGE
from resemblance.writing import write_bytes, write_text


def write_audit(audit: RunAudit, folder: Path) -> None:
    """Write audit.json, audit.xml, the example pictures and audit.html.

    Raises:
        UserError: if a file cannot be written.
    """
    document, junit, page = folder / AUDIT_DOCUMENT, folder / AUDIT_JUNIT, folder / AUDIT_PAGE
    write_text(document, json.dumps(audit.to_dict(), indent=2, ensure_ascii=False, allow_nan=False))
    write_text(junit, junit_xml(audit))
    for check in CHECKS:  # pictures of an earlier audit, with more examples or other checks
        for old in folder.glob(f"{check}-[0-9]*.png"):
            old.unlink()
    for finding in audit.result.findings:
        for number, example in enumerate(finding.examples, start=1):
            write_bytes(folder / f"{finding.check}-{number}.png", example.png)
    write_text(page, audit_page(audit, page))


def junit_xml(audit: RunAudit) -> str:
    """Return the audit as JUnit XML: one test case per check and per threshold of the user.

    A check is skipped where it does not apply. It is no failure by itself: a threshold that is crossed is.
    """
    result = audit.result
    cases = len(result.findings) + len(result.left_out) + len(audit.outcomes)
    failures = sum(outcome.failed for outcome in audit.outcomes)
    suite = ElementTree.Element(
        "testsuite",
        name=printable(f"resemblance audit {audit.run.name}"),
        tests=str(cases),
        failures=str(failures),
        errors="0",
        skipped=str(len(result.left_out)),
    )
    for finding in result.findings:
        case = _case(suite, "checks", finding.check)
        numbers = [f"{value.name} = {value.text}" for value in finding.values]
        ElementTree.SubElement(case, "system-out").text = printable(
            "; ".join([f"{finding.verdict}: {finding.sentence}", *numbers])
        )
    for one in result.left_out:
        ElementTree.SubElement(_case(suite, "checks", one.measure), "skipped", message=printable(one.reason))
    for outcome in audit.outcomes:
        case = _case(suite, "thresholds", outcome.threshold.text)
        if outcome.failed:
            ElementTree.SubElement(case, "failure", message=printable(outcome.says))
    ElementTree.indent(suite)
    text: str = ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)
    return text + "\n"


def _case(suite: ElementTree.Element, group: str, name: str) -> ElementTree.Element:
    return ElementTree.SubElement(suite, "testcase", classname=f"audit.{group}", name=printable(name))
