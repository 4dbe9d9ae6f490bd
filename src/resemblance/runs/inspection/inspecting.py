"""`inspect`, the verb of the Python interface that describes a folder without running anything."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from resemblance.config.errors import UserError
from resemblance.printing.characters import printable
from resemblance.runs.folders import CHECKPOINTS, METRICS, MODEL, find_run_folder, read_config
from resemblance.runs.folders import CONFIG as OPTIONS
from resemblance.runs.inspection.claimed_figures import ClaimedFigure, check_figures, claimed_figures
from resemblance.runs.inspection.description import Description, read_description
from resemblance.runs.inspection.findings import Finding, Findings, named
from resemblance.runs.inspection.foreign_files import check_model_folder, check_run_folder_files
from resemblance.runs.inspection.licence import find_licences
from resemblance.runs.inspection.model_files import FileState, check_files, find_file, leads_out
from resemblance.runs.inspection.provenance import OWNERS, Provenance, read_provenance
from resemblance.runs.inspection.tensor_file import TensorFile, read_tensor_file
from resemblance.runs.metrics_file import read_metrics
from resemblance.store import CONFIG, TENSORS

# Tensors that are computed with, by the ends of their names; others may hold NaN for what is unknown.
COMPUTED = ("weight", "bias", "vectors", "running_mean", "running_var")


@dataclass(frozen=True)
class Inspection:
    """What a run folder or a model folder says about itself, and what is wrong with it.

    Args:
        folder: the folder that was inspected.
        model_folder: its model folder; the same, or ``model/`` in it.
        description: what config.json says; None if it cannot be read.
        tensors: the header of the weights; None if it cannot be read.
        provenance: where the prototypes come from; None for a model without prototypes.
        claims: the figures that the folder claims.
        licences: each statement of a licence, as ``file`` and ``says``.
        files: the files of the model, compared with their checksums.
        other_files: files that are neither listed by the model nor written by this library's commands.
        findings: what is wrong.
    """

    folder: Path
    model_folder: Path
    description: Description | None
    tensors: TensorFile | None
    provenance: Provenance | None
    claims: tuple[ClaimedFigure, ...]
    licences: tuple[dict[str, str], ...]
    files: tuple[FileState, ...]
    other_files: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def is_run(self) -> bool:
        """Whether the folder is a run folder, and not a model folder alone."""
        return self.folder != self.model_folder

    @property
    def consistent(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def notes(self) -> list[str]:
        """The notes that were saved with the model."""
        return [] if self.description is None else list(self.description.facts.get("notes", []))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary; what cannot be read is None."""
        known, tensors = self.description, self.tensors
        return {
            "format": "resemblance-inspection-1",
            "folder": str(self.folder),
            "kind": "run folder" if self.is_run else "model folder",
            "resemblance": None if known is None else known.version,
            "method": None if known is None else known.method,
            "needs_code": None if known is None else known.needs_code,
            "encoder": None if known is None else known.encoder,
            "classes": None if known is None or known.spec is None else list(known.spec.classes),
            "image": None if known is None else known.image(),
            "data": None if known is None else known.facts.get("data"),
            "original": None if known is None else known.facts.get("original"),
            "tensors": None if tensors is None else {"count": len(tensors.shapes), "values": tensors.values},
            "provenance": None if self.provenance is None else self.provenance.to_dict(),
            "claims": [claim.to_dict() for claim in self.claims],
            "notes": self.notes,
            "licence": list(self.licences),
            "files": [file.to_dict() for file in self.files],
            "other_files": list(self.other_files),
            "findings": [finding.to_dict() for finding in self.findings],
            "consistent": self.consistent,
        }


@dataclass
class _Run:
    """The part of a run folder beside its model."""

    folder: Path | None
    options: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    other_files: list[str] = field(default_factory=list)


def inspect(folder: Path | str) -> Inspection:
    """Describe a run folder or a model folder without running anything.

    No model is built, nothing of the folder is imported or unpickled, links out of it are not followed, and torch is
    not needed. Files are hashed, the header and a few small tensors of the weights are read, and pictures are decoded.

    Args:
        folder: a run folder or a model folder, whole or damaged.

    Returns:
        What the folder says of itself, with all that is wrong in `Inspection.findings`.

    Raises:
        UserError: if it is neither a run folder nor a model folder.

    Example:
        >>> inspection = inspect("runs/kmex")  # doctest: +SKIP
        >>> inspection.consistent, inspection.description.method  # doctest: +SKIP
        (True, 'kmex')
    """
    given = Path(folder).expanduser()
    model_folder, run_folder = _locate(given)
    findings = Findings([path for path in (model_folder, run_folder) if path is not None])
    if run_folder is not None and leads_out(run_folder, model_folder):
        findings.add("foreign", MODEL, f"{MODEL} is a link that leads out of the run folder")
    run = _read_run(run_folder, findings)
    description = read_description(model_folder, findings)
    states: list[FileState] = []
    if description is not None:
        states = check_files(model_folder, description.checksums, description.document, findings)
    tensors = _read_tensors(model_folder, findings)
    spec = None if description is None else description.spec
    provenance = read_provenance(model_folder, states, tensors, spec, findings)
    if description is not None:
        _compare(description, run, tensors, findings)
    facts = {} if description is None else description.facts
    listed = {state.name for state in states if state.state != "not listed"} or None
    within = "" if run_folder is None else f"{MODEL}/"
    loose = check_model_folder(model_folder, listed, findings, within)
    return Inspection(
        run_folder or given,
        model_folder,
        description,
        tensors,
        provenance,
        tuple(claimed_figures(facts, run.metrics)),
        tuple(
            find_licences(
                [path for path in (run_folder, model_folder) if path is not None],
                {} if description is None else description.document,
            )
        ),
        tuple(states),
        (*loose, *run.other_files),
        tuple(findings.all),
    )


def _locate(path: Path) -> tuple[Path, Path | None]:
    """Return the model folder, and the run folder around it, if any."""
    if not path.exists():
        raise UserError(f"no such folder: {path}")
    if not path.is_dir():
        raise UserError(f"{path} is a file; a run folder or a model folder was expected")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"{path} may not be read by this user")
    if (path / CONFIG).is_file() or (path / TENSORS).is_file():
        run = find_run_folder(path)
        return path, run
    if (path / MODEL).is_dir():
        return path / MODEL, path
    if (path / CHECKPOINTS).is_dir():
        raise UserError(f"{path} holds a run that is not finished; continue it with train --resume")
    inside = [name for name in sorted(os.listdir(path)) if find_run_folder(path / name) == path / name]
    hint = f"; name one of the runs in it: {printable(named(inside))}" if inside else ""
    raise UserError(
        f"{path} is neither a run folder (with {MODEL}/) nor a model folder (with {CONFIG}){hint}"
    )


def _read_run(folder: Path | None, findings: Findings) -> _Run:
    """Read what lies in a run folder beside its model."""
    run = _Run(folder)
    if folder is None:
        return run
    for name in (OPTIONS, METRICS):
        if not (folder / name).is_symlink() and not (folder / name).exists():
            continue
        path = find_file(folder, name, findings)
        if path is None:
            continue
        if name == OPTIONS:
            run.options = findings.trying("unreadable", name, partial(read_config, folder)) or {}
        else:
            run.metrics = findings.trying("unreadable", name, partial(read_metrics, path)) or {}
    run.other_files = check_run_folder_files(folder, findings)
    return run


def _read_tensors(folder: Path, findings: Findings) -> TensorFile | None:
    """Read the header of the weights, and look for values that are infinite or NaN."""
    path = find_file(folder, TENSORS, findings)
    if path is None:
        return None
    tensors = findings.trying("unreadable", TENSORS, lambda: read_tensor_file(path, TENSORS))
    if tensors is None:
        return None
    broken = tensors.not_finite(COMPUTED)
    if broken:
        count, names = sum(broken.values()), named(sorted(broken))
        says = f"{TENSORS}: {count} values are infinite or NaN, in {names}; the model cannot be used"
        findings.add("unreadable", TENSORS, says)
    return tensors


def _compare(description: Description, run: _Run, tensors: TensorFile | None, findings: Findings) -> None:
    """Compare the description with the weights, and with what the run folder says."""
    check_figures(description.method, description.facts, run.metrics, findings)
    method = run.options.get("method") if run.options.get("command") == "train" else None
    if None not in (method, description.method) and method != description.method:
        says = f"{OPTIONS} is of the method {method!r}, but the model is of {description.method!r}"
        findings.add("contradiction", OPTIONS, says)
    owners = None if tensors is None else tensors.shapes.get(OWNERS)
    if owners is None:
        return
    if len(owners) != 2:
        says = f"{TENSORS}: {OWNERS} has the shape {owners}, not (prototypes, classes)"
        findings.add("contradiction", TENSORS, says)
        return
    count, classes = owners
    if description.spec is not None and classes != description.spec.num_classes:
        says = f"the weights are for {classes} classes, but {CONFIG} names {description.spec.num_classes}"
        findings.add("contradiction", CONFIG, says)
    if description.facts.get("prototypes", count) != count:
        says = f"{CONFIG} claims {description.facts['prototypes']} prototypes, but the weights have {count}"
        findings.add("contradiction", CONFIG, says)
