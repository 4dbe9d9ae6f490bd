"""``resemblance audit RUN``: try whether a model's explanations can be trusted."""

from __future__ import annotations

import os
from pathlib import Path

from resemblance.api import open_run
from resemblance.auditing import audit_into
from resemblance.cli.console import Screen, screen
from resemblance.config.audit.audit_options import chosen_checks
from resemblance.config.audit.thresholds import read_thresholds
from resemblance.config.commands import AuditCommand
from resemblance.runs.audited_run import RunAudit
from resemblance.runs.claims import claim_lines
from resemblance.runs.folders import AUDIT, AUDIT_DOCUMENT, AUDIT_JUNIT, AUDIT_PAGE, check_writable
from resemblance.runs.opening import dividing_work

FAILED = 3  # the exit code where a threshold is crossed
NUMBERS = 6  # printed per check; the files have all


def run(options: AuditCommand) -> int:
    """Run the checks, print the verdicts, and write the page, JSON and JUnit XML."""
    with screen(options.json) as out:
        # Mistakes in options are found before the model is opened.
        chosen_checks(options)
        read_thresholds(options.fail_if, options.thresholds)
        folder = _folder(options)
        check_writable(folder)
        run = open_run(options.run, allow_import=options.allow_import, accelerator=options.accelerator)
        with dividing_work([run], "auto", options.devices):
            audit = audit_into(
                folder,
                run,
                options.data,
                options,
                split=options.split,
                batch_size=options.batch_size,
                skip_bad_images=options.skip_bad_images,
                labels=options.labels,
                progress=True,
                messages=out,
            )
        _print(audit, out)
        for name in (AUDIT_DOCUMENT, AUDIT_JUNIT, AUDIT_PAGE):
            out.say(f"{Path(name).suffix[1:]}: {folder / name}")
        out.result(audit.to_dict())
    return FAILED if audit.failed else 0


def _folder(options: AuditCommand) -> Path:
    """Return the folder of the results: the user's, else one in the run folder, else in the current one."""
    if options.output is not None:
        return options.output.expanduser()
    folder = Path(options.run).expanduser()
    return Path(os.path.abspath(folder)) / AUDIT if folder.is_dir() else Path(AUDIT)


def _print(audit: RunAudit, out: Screen) -> None:
    result = audit.result
    images = f"{len(audit.subject.images)} images of {audit.subject.data}"
    out.say(f"{audit.run.name} ({audit.run.model.name}), tried on {images}")
    for finding in result.findings:
        out.say()
        out.say(f"{finding.title}: {finding.verdict.upper()}")
        out.say(f"  {finding.sentence}")
        numbers = []
        for value in finding.values[:NUMBERS]:
            baseline = "" if value.baseline is None else f" [{value.baseline_of}: {value.baseline:.3f}]"
            numbers.append((f"  {value.name}", f"{value.text}{baseline}"))
        width = max((len(name) for name, _ in numbers), default=0)
        for name, text in numbers:
            out.say(f"{name.ljust(width)}  {text}")
        if len(finding.values) > NUMBERS:
            out.say(f"  and {len(finding.values) - NUMBERS} more numbers, see the page")
        if finding.cure:
            out.say(f"  what to do: {finding.cure}")
    out.say()
    reasons: dict[str, list[str]] = {}
    for one in result.left_out:
        reasons.setdefault(one.reason, []).append(one.measure)
    for reason, names in reasons.items():
        out.say(f"not checked: {', '.join(names)}: {reason}")
    for line in (*claim_lines(audit.claims), *(outcome.says for outcome in audit.outcomes)):
        out.say(line)
