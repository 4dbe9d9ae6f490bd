"""`audit`, the verb of the Python interface that tries whether explanations can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resemblance.config.audit.audit_options import AuditOptions
from resemblance.data.sources.source import DataSplits
from resemblance.report.audit.audit_files import write_audit
from resemblance.runs.audited_run import RunAudit, audit_run, finish_audit
from resemblance.runs.folders import make_folder
from resemblance.runs.keywords import configs_from
from resemblance.runs.messages import Messages
from resemblance.runs.opening import Openable, as_runs, dividing_work
from resemblance.runs.run import RunRecord
from resemblance.training.devices.torchrun import together


@together
def audit(
    model: Openable,
    data: str | DataSplits | None = None,
    *,
    checks: str | Sequence[str] | None = None,
    output: Path | str | None = None,
    split: str = "auto",
    batch_size: int = 32,
    skip_bad_images: bool = False,
    labels: str | None = None,
    accelerator: str = "auto",
    devices: int = 1,
    progress: bool = False,
    messages: Messages | None = None,
    **options: Any,
) -> RunAudit:
    """Try whether a model's explanations can be trusted: attacks, shifts, provenance.

    Args:
        model: a model, a run, or the folder of one.
        data: the name of a data set as on the command line, its splits, or a folder of loose images without labels; by
            default the data that the run was trained on.
        checks: the names of checks; by default all that apply. See docs/audit.md.
        output: a folder for audit.json, audit.xml, pictures and a page; an audit that was stopped goes on from what is
            kept there.
        split: the images that the model is tried on: auto (test, else val), train, val or test.
        batch_size: images per batch.
        skip_bad_images: whether to leave out image files that cannot be read instead of stopping.
        labels: a table of the classes of images without class folders; see `open_data`.
        accelerator: the hardware to compute on: auto, cpu, gpu, or mps; auto leaves a model that is open where it is.
        devices: the number of GPUs, or of processes on the CPU, that divide the work; see docs/devices.md.
        progress: whether to show progress bars.
        messages: receives notes.
        **options: further options of ``resemblance audit``, with underscores: ``images``, ``attacked``, ``top``,
            ``eps``, ``step``, ``steps``, ``variant``, ``foreign``, ``seed``, ``fail_if``, ``thresholds``.

    Returns:
        The findings, the checks that do not apply, and what became of the thresholds.

    Raises:
        UserError: if an option is not valid, or an image cannot be read.

    Example:
        >>> result = audit("runs/protopnet", checks="head-on-stomach", fail_if="head_on_stomach>0.5")  # doctest: +SKIP
        >>> result.failed, result.result.findings[0].sentence  # doctest: +SKIP
    """
    values = {**options, "checks": (checks,) if isinstance(checks, str) else checks}
    if isinstance(values.get("fail_if"), str):
        values["fail_if"] = (values["fail_if"],)
    [settings] = configs_from(
        "audit()", {name: _tuple(value) for name, value in values.items()}, AuditOptions
    )
    [run] = as_runs(model, accelerator)
    folder = None if output is None else Path(output).expanduser()
    with dividing_work([run], accelerator, devices):
        return audit_into(
            folder,
            run,
            data,
            settings,
            split=split,
            batch_size=batch_size,
            skip_bad_images=skip_bad_images,
            labels=labels,
            progress=progress,
            messages=messages,
        )


def audit_into(
    folder: Path | None, run: RunRecord, data: str | DataSplits | None, options: AuditOptions, **how: Any
) -> RunAudit:
    """Run the checks of an audit, and write its results into a folder.

    Args:
        folder: where they are written, and where a stopped audit is kept; None for nowhere.
        run: the run.
        data: its images, as for `audit`.
        options: the checks and their settings.
        **how: further arguments of `audit_run`.
    """
    if folder is not None:
        make_folder(folder)
    result = audit_run(run, data, options, folder=folder, **how)
    if folder is not None:
        write_audit(result, folder)
        finish_audit(result, options, folder)
    return result


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
