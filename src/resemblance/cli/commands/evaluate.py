"""``resemblance evaluate RUN``: measure one model, or several as an ensemble."""

from __future__ import annotations

import json
from typing import Any

from resemblance.api import open_run
from resemblance.cli.console import Screen, screen
from resemblance.cli.measured_runs import run_measures
from resemblance.config.commands import EvaluateCommand
from resemblance.config.errors import UserError
from resemblance.config.evaluation.measure_options import check_measures, chosen_measures
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import share
from resemblance.evaluating import evaluate
from resemblance.finished_run import Run
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.metrics.ensemble import EnsembleEvaluation, evaluate_ensemble
from resemblance.metrics.evaluation import Evaluation
from resemblance.printing.places import last_component
from resemblance.runs.claims import claim_lines, claims_of_run
from resemblance.runs.folders import in_folder, make_folder
from resemblance.runs.opening import dividing_work
from resemblance.runs.run import choose_split, split_seed
from resemblance.writing import write_text

WIDE = 20  # the largest number of classes for which the confusion matrix is printed


def run(options: EvaluateCommand) -> int:
    """Measure one model or an ensemble, and print the result."""
    with screen(options.json) as out:
        check_measures(options, len(options.runs), options.ensemble)
        if chosen_measures(options) or options.maps_figure:
            return run_measures(options, out)
        if len(options.runs) > 1 and not options.ensemble:
            raise UserError(
                "evaluate without --metrics measures one run; add --metrics to compare several side by side, or "
                "--ensemble to combine them into one ensemble"
            )
        output = in_folder(options.output, "evaluation.json")
        if output:
            make_folder(output.parent)
        runs = [
            open_run(path, allow_import=options.allow_import, accelerator=options.accelerator)
            for path in options.runs
        ]
        if options.ensemble:
            make_ensemble([run.model for run in runs])  # checks the models before the images are opened
            _check_same_data(runs, options.data)
        splits = runs[0].images(options.data, options.skip_bad_images, options.labels)
        for note in splits.notes:
            out.warn(note)
        name, source = choose_split(splits, options.split)
        with dividing_work(runs, "auto", options.devices):
            if options.ensemble:
                document = _evaluate_ensemble(runs, splits, name, source, options, out)
            else:
                document = _evaluate_run(runs[0], splits, name, source, options, out)
        if output:
            write_text(output, json.dumps(document, indent=2, ensure_ascii=False))
            out.say(f"result: {output}")
        out.result(document)
    return 0


def _evaluate_run(
    run: Run, splits: DataSplits, split: str, source: Source, options: EvaluateCommand, out: Screen
) -> dict[str, Any]:
    evaluation = evaluate(run, source, batch_size=options.batch_size, workers=options.workers, progress=True)
    out.say(f"{run.name}: {_accuracy_text(evaluation, split)}")
    black_box = evaluation.black_box
    if black_box is None:
        black_box = (run.model.facts.get("black_box") or {}).get(split)
    if black_box is not None:
        out.say(f"black box: {share(black_box)}, gap {100 * (black_box - evaluation.accuracy):+.2f} points")
    if evaluation.agreement is not None:
        out.say(f"agreement: {share(evaluation.agreement)} of the images classified as the black box does")
    for label, value in evaluation.measured.items():
        out.say(f"{label}: {share(value)}")
    if evaluation.unused is not None:
        words = run.model.traits.words
        numbers = ": " + ", ".join(map(str, evaluation.unused)) if evaluation.unused else ""
        unused = f", {len(evaluation.unused)} of them unused{numbers}" if words.rivals else ""
        out.say(f"{words.many}: {evaluation.prototypes}{unused}")
    claims = claims_of_run(run, evaluation, splits, split)
    for line in claim_lines(claims):
        out.say(line)
    _print_tables(evaluation, out)
    return {
        "run": run.name,
        "method": run.model.name,
        "data": last_component(splits.name),
        "split": split,
        **evaluation.to_dict(),
        "claims": [claim.to_dict() for claim in claims],
    }


def _evaluate_ensemble(
    runs: list[Run],
    splits: DataSplits,
    split: str,
    source: Source,
    options: EvaluateCommand,
    out: Screen,
) -> dict[str, Any]:
    if split == "val" and len({(split_seed(run.config), run.config.get("val_fraction")) for run in runs}) > 1:
        out.warn(
            f"these are the validation images of {runs[0].name}; if the data has no validation images of its "
            "own, runs with other seeds were trained on some of these"
        )
    evaluation: EnsembleEvaluation = evaluate_ensemble(
        [run.model for run in runs],
        source,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=True,
    )
    whole = evaluation.whole
    out.say(f"ensemble of {len(runs)} models, by the {evaluation.rule}: {_accuracy_text(whole, split)}")
    out.say()
    rows = [
        (run.name, run.model.name, share(member.accuracy))
        for run, member in zip(runs, evaluation.members, strict=True)
    ]
    out.table(("run", "method", "accuracy"), [*rows, ("ensemble", "", share(whole.accuracy))])
    _print_tables(whole, out)
    document = evaluation.to_dict()
    document["members"] = [
        {"run": run.name, "method": run.model.name, "score": run.model.traits.score_kind, **member}
        for run, member in zip(runs, document["members"], strict=True)
    ]
    return {
        "ensemble": [run.name for run in runs],
        "data": last_component(splits.name),
        "split": split,
        **document,
    }


def _check_same_data(runs: list[Run], data: str | None) -> None:
    names = {str(run.config["data"]) for run in runs if run.config.get("data")}
    if data is None and len(names) > 1:
        raise UserError(f"the runs were made with different data ({', '.join(sorted(names))}); add --data")


def _accuracy_text(evaluation: Evaluation, split: str) -> str:
    return f"{share(evaluation.accuracy)} of {evaluation.images} {split} images classified correctly"


def _print_tables(evaluation: Evaluation, out: Screen) -> None:
    out.say()
    columns = ("class", "images", "precision", "recall", "F1")
    out.table(
        columns,
        [
            (row["class"], row["images"], *(_share(row[key]) for key in ("precision", "recall", "f1")))
            for row in evaluation.per_class()
        ],
    )
    out.say()
    if len(evaluation.classes) <= WIDE:
        rows = [
            (name, *counts)
            for name, counts in zip(evaluation.classes, evaluation.confusion.tolist(), strict=True)
        ]
        out.table(("true \\ predicted", *evaluation.classes), rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
