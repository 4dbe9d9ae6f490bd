"""Audit a run: open the images that the checks read, run the checks, and compare with the user's thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.metrics import confusion_matrix

from resemblance.audit.audit_runner import AuditResult, remove_partial, run_checks
from resemblance.audit.audited import AuditSettings, AuditSubject
from resemblance.audit.verdicts import Outcome, outcomes
from resemblance.config.audit.audit_options import AuditOptions, chosen_checks
from resemblance.config.audit.thresholds import read_thresholds
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.formats.levels import UnknownRange
from resemblance.data.labels.find_tables import NONE, has_label_table
from resemblance.data.open import open_data
from resemblance.data.sources.loose import loose_images
from resemblance.data.sources.source import DataSplits, Source
from resemblance.encoders.probe import evaluating
from resemblance.metrics.evaluation import Evaluation
from resemblance.metrics.suite.subject import choose
from resemblance.printing.places import last_component, without_places
from resemblance.runs.claims import Claim, claims_of_run, differences
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
        claims: the figures that the folder claims, beside those measured on these images.
        notes: sentences that the reader should know.
    """

    run: RunRecord
    subject: AuditSubject
    result: AuditResult
    outcomes: tuple[Outcome, ...] = ()
    claims: list[Claim] = field(default_factory=list)
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
            "claims": [claim.to_dict() for claim in self.claims],
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
    labels: str | None = None,
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
        labels: a table of the classes of images without class folders; see `open_data`.
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
    opened = _open(run, data, options, split, skip_bad_images, labels, notes)
    subject = _subject(run, options, batch_size, opened)
    for note in notes:
        messages.warn(note)
    hint = f" ({folder})" if folder is not None else ""
    with Interrupts(f"stopped; repeat the command to go on with the audit{hint}"):
        result = run_checks(subject, names, folder=folder, progress=progress)
        claims = _claims(run, subject, opened)
    notes += differences(claims)
    outcome = outcomes(thresholds, result.findings, result.left_out)
    return RunAudit(run, subject, result, outcome, claims, without_places(notes, *opened.places))


def finish_audit(audit: RunAudit, options: AuditOptions, folder: Path | None) -> None:
    """Remove the state that was kept, after the results have been written."""
    remove_partial(audit.subject, chosen_checks(options), folder)


class _Opened(NamedTuple):
    """The images of an audit: those that it may choose from, and their splits, if they have labels."""

    source: Source
    name: str
    part: str
    splits: DataSplits | None
    foreign: Source | None
    places: tuple[str, ...]
    recorded: bool = False


def _open(
    run: RunRecord,
    data: str | DataSplits | None,
    options: AuditOptions,
    split: str,
    skip: bool,
    labels: str | None,
    notes: list[str],
) -> _Opened:
    """Open the images that the model is tried on, and those of other things."""
    foreign = _foreign(options, run, skip, notes)
    spec = run.model.spec
    loose = None
    if isinstance(data, str) and (
        labels == NONE or (labels is None and not has_label_table(Path(data).expanduser()))
    ):
        loose = loose_images(data, spec.classes, skip, spec.image.window)
    if loose is None:
        splits = run.images(data, skip, labels)
        notes += splits.notes
        part, source = choose_split(splits, split)
        recorded = data is None or data is run.splits
        name = f"{last_component(splits.name)}, {part}"
        return _Opened(source, name, part, splits, foreign, (splits.name, options.foreign or ""), recorded)
    images, left_out = loose
    notes += left_out
    notes.append(
        "the images have no labels: predictions take the place of the true classes, and checks that need the training "
        "images are left out"
    )
    name = f"{last_component(str(data))}, loose images"
    return _Opened(images, name, "", None, foreign, (str(data), options.foreign or ""))


def _foreign(options: AuditOptions, run: RunRecord, skip: bool, notes: list[str]) -> Source | None:
    """Open images of other things, in an order drawn by the seed; each check takes as many as it needs."""
    if options.foreign is None:
        return None
    spec = run.model.spec
    loose = loose_images(options.foreign, spec.classes, skip, spec.image.window)
    if loose is None:
        try:
            splits = open_data(options.foreign, skip_bad_images=skip, window=spec.image.window)
        except UnknownRange as error:
            raise error.for_a_model() from None
        notes += splits.notes
        source = choose_split(splits, "auto")[1]
    else:
        source, left_out = loose
        notes += left_out
    return choose(source, None, options.seed)[0]


def _subject(run: RunRecord, options: AuditOptions, batch_size: int, opened: _Opened) -> AuditSubject:
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
    return AuditSubject(
        run.name,
        run.model,
        choose(opened.source, options.images, options.seed)[0],
        opened.splits is not None,
        settings,
        None if opened.splits is None else run.training_images(opened.splits),
        opened.foreign,
        None if run.folder is None else run.folder / MODEL,
        opened.name,
        opened.recorded,
    )


def _claims(run: RunRecord, subject: AuditSubject, opened: _Opened) -> list[Claim]:
    """Compare the accuracy on these images with what the folder claims; without labels, nothing can be compared."""
    if opened.splits is None:
        return []
    with evaluating(subject.model):
        predictions = subject.predictions.numpy()
    classes, prototypes = subject.model.spec.classes, prototypes_of(subject.model)
    confusion = confusion_matrix(subject.images.labels, predictions, labels=range(len(classes)))
    count = None if prototypes is None else len(prototypes)
    whole = len(subject.images) == len(opened.source)
    measured = Evaluation(classes, confusion, prototypes=count)
    return claims_of_run(run, measured, opened.splits, opened.part, whole=whole)
