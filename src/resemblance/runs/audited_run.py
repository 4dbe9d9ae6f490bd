"""Audit a run: open the images that the checks read, run the checks, and compare with the user's thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from resemblance.audit.audit_runner import AuditResult, remove_partial, run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.verdicts import Outcome, outcomes
from resemblance.config.audit.audit_options import AuditOptions, chosen_checks
from resemblance.config.audit.thresholds import read_thresholds
from resemblance.data.open import open_data
from resemblance.data.sources.joined import Joined
from resemblance.data.sources.loose import loose_images
from resemblance.data.sources.source import DataSplits, Source
from resemblance.metrics.suite.subject import choose
from resemblance.runs.folders import MODEL
from resemblance.runs.messages import Messages
from resemblance.runs.run import RunRecord, choose_split
from resemblance.training.engine.interrupts import Interrupts

LEVELS = 255


@dataclass
class RunAudit:
    """The result of an audit.

    Args:
        run: the run.
        subject: the model, its images and the settings.
        result: the findings, and the checks that do not apply.
        outcomes: what became of the user's thresholds.
        notes: sentences that the reader should know.
    """

    run: RunRecord
    subject: AuditSubject
    result: AuditResult
    outcomes: tuple[Outcome, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether a number crosses a threshold of the user."""
        return any(outcome.failed for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary, without pictures."""
        return {
            "format": "resemblance-audit-1",
            "run": self.run.name,
            "method": self.run.model.name,
            "data": self.subject.data,
            "images": len(self.subject.images),
            "labelled": self.subject.labelled,
            "settings": asdict(self.subject.settings),
            "notes": list(self.notes),
            **self.result.to_dict(),
            "thresholds": [outcome.to_dict() for outcome in self.outcomes],
            "failed": self.failed,
        }


def audit_run(
    run: RunRecord,
    data: str | DataSplits | None,
    options: AuditOptions,
    *,
    split: str = "auto",
    batch_size: int = 32,
    skip_bad_images: bool = False,
    folder: Path | None = None,
    progress: bool = False,
    messages: Messages | None = None,
) -> RunAudit:
    """Run the checks of an audit on a run.

    Args:
        run: the run.
        data: the name of a data set, its splits, or a folder of loose images without labels; by default the data that
            the run was trained on.
        options: the checks and their settings.
        split: the images that the model is tried on.
        batch_size: images per batch.
        skip_bad_images: whether to leave out unreadable images instead of stopping.
        folder: where the state of a stopped audit is kept; None for nowhere.
        progress: whether to show bars.
        messages: receives notes.

    Raises:
        UserError: if options or images are not valid.
    """
    messages = messages or Messages()
    names = chosen_checks(options)
    thresholds = read_thresholds(options.fail_if, options.thresholds)
    notes: list[str] = []
    subject = _subject(run, data, options, split, batch_size, skip_bad_images, notes)
    for note in notes:
        messages.warn(note)
    hint = f" ({folder})" if folder is not None else ""
    with Interrupts(f"stopped; repeat the command to go on with the audit{hint}"):
        result = run_checks(subject, names, folder=folder, progress=progress)
    return RunAudit(run, subject, result, outcomes(thresholds, result.findings, result.left_out), notes)


def finish_audit(audit: RunAudit, options: AuditOptions, folder: Path | None) -> None:
    """Remove the state that was kept, after the results have been written."""
    remove_partial(audit.subject, chosen_checks(options), folder)


def _subject(
    run: RunRecord,
    data: str | DataSplits | None,
    options: AuditOptions,
    split: str,
    batch_size: int,
    skip: bool,
    notes: list[str],
) -> AuditSubject:
    settings = AuditSettings(
        options.eps / LEVELS,
        options.step / LEVELS,
        options.steps,
        options.top,
        options.attacked,
        "released" if options.variant == "released" else "paper",
        options.seed,
        batch_size,
    )
    train: Source | None = None
    loose = loose_images(data, run.model.spec.classes, skip) if isinstance(data, str) else None
    if loose is not None:
        source: Source = loose[0]
        name, labelled = f"{data}, loose images", False
        notes += loose[1]
        notes.append(
            "the images have no labels: predictions take the place of the true classes, and checks that need the "
            "training images are left out"
        )
    else:
        splits = run.images(data, skip)
        notes += splits.notes
        part, source = choose_split(splits, split)
        name, labelled = f"{splits.name}, {part}", True
        train = Joined(splits.train, splits.val) if run.config.get("refit_on_all") else splits.train
    images, _ = choose(source, options.images, options.seed)
    foreign = _foreign(options, run, skip, notes)
    model_folder = None if run.folder is None else run.folder / MODEL
    return AuditSubject(run.name, run.model, images, labelled, settings, train, foreign, model_folder, name)


def _foreign(options: AuditOptions, run: RunRecord, skip: bool, notes: list[str]) -> Source | None:
    """Open the images of other things, in an order drawn by the seed."""
    if options.foreign is None:
        return None
    loose = loose_images(options.foreign, run.model.spec.classes, skip)
    if loose is not None:
        source: Source = loose[0]
        notes += loose[1]
    else:
        splits = open_data(options.foreign, skip_bad_images=skip)
        notes += splits.notes
        source = choose_split(splits, "auto")[1]
    return choose(source, options.images, options.seed)[0]
