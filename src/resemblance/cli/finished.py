"""What came of a run, for people and for programs."""

from __future__ import annotations

from resemblance.cli.console import Screen
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.text import share
from resemblance.report.run_pages import PAGE
from resemblance.runs.run import RunRecord


def show_finished(run: RunRecord, out: Screen) -> None:
    """Print the table of a run that was just made, its notes, and where everything is.

    Args:
        run: with its images.
        out: where to print.
    """
    columns, rows = _accuracies(run)
    out.table(columns, rows)
    if (prototypes := prototypes_of(run.model)) is not None:
        words, idle = run.model.traits.words, len(prototypes.unused())
        unused = f", {idle} of them unused on the training images" if words.rivals else ""
        out.say(f"{words.many}: {len(prototypes)}{unused}")
    said = run.splits.notes if run.splits is not None else []
    for note in run.notes:
        if note not in said:
            out.say(f"note: {note}")
    if run.folder is not None and run.config.get("report"):
        out.say(f"report: {run.folder / PAGE}")
    out.say(f"run folder: {run.folder}")
    out.result({"run": str(run.folder), **run.metrics})


def _accuracies(run: RunRecord) -> tuple[list[str], list[list[str]]]:
    """The accuracy on each split, beside the black box's and what the method measures of its own."""
    before = run.model.facts.get("black_box") or {}
    measured = {split: run.metrics[split] for split in ("val", "test") if split in run.metrics}
    labels = list(dict.fromkeys(label for values in measured.values() for label in values["measured"]))
    rows = []
    for split, values in measured.items():
        row = [split, share(values["accuracy"])]
        if before:
            known = before.get(split)
            gap = "" if known is None else f"{100 * (known - values['accuracy']):+.2f} points"
            row += ["" if known is None else share(known), gap]
        rows.append([*row, *(share(values["measured"][label]) for label in labels)])
    return ["images", "accuracy", *(["black box", "gap"] if before else []), *labels], rows
