"""Print the result of a run, for people and for programs."""

from __future__ import annotations

from resemblance.cli.console import Screen
from resemblance.core.prototype_model import prototypes_of
from resemblance.data.text import share
from resemblance.runs.folders import PAGE
from resemblance.runs.metrics_file import MEASURED_SPLITS, ORIGINAL_TEST
from resemblance.runs.run import RunRecord


def show_finished(run: RunRecord, out: Screen) -> None:
    """Print the accuracies of a run that was just made, its notes, and the paths of its files.

    Args:
        run: the run, with its images.
        out: the output of the command.
    """
    columns, rows = _accuracies(run)
    out.table(columns, rows)
    if (prototypes := prototypes_of(run.model)) is not None:
        words, count = run.model.traits.words, len(prototypes.unused())
        unused = f", {count} of them unused on the training images" if words.rivals else ""
        out.say(f"{words.many}: {len(prototypes)}{unused}")
    already_printed = run.splits.notes if run.splits is not None else []
    for note in run.notes:
        if note not in already_printed:
            out.say(f"note: {note}")
    if run.folder is not None and run.config.get("report"):
        out.say(f"report: {run.folder / PAGE}")
    out.say(f"run folder: {run.folder}")
    out.result({"run": str(run.folder), **run.metrics})


def _accuracies(run: RunRecord) -> tuple[list[str], list[list[str]]]:
    """Return a table of each split: accuracy, that of the black box, their agreement, the method's own measures."""
    black_box = run.model.facts.get("black_box") or {}
    measured = {split: run.metrics[split] for split in MEASURED_SPLITS if split in run.metrics}
    labels = list(dict.fromkeys(label for values in measured.values() for label in values["measured"]))
    rows = []
    for split, values in measured.items():
        altered = split == "test" and ORIGINAL_TEST in measured
        row = ["test (altered)" if altered else split, share(values["accuracy"])]
        if black_box:
            reference = black_box.get(split)
            gap = "" if reference is None else f"{100 * (reference - values['accuracy']):+.2f} points"
            agreement = values.get("agreement")
            row += ["" if reference is None else share(reference), gap]
            row.append("" if agreement is None else share(agreement))
        rows.append([*row, *(share(values["measured"][label]) for label in labels)])
    return ["images", "accuracy", *(["black box", "gap", "agreement"] if black_box else []), *labels], rows
