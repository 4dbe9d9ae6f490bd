"""``resemblance evaluate RUN``: figures of one model, or of several that answer together."""

from __future__ import annotations

import json
from typing import Any

from resemblance.api import Run, evaluate, open_run
from resemblance.cli.console import Screen, screen
from resemblance.config.commands import EvaluateCommand
from resemblance.config.errors import UserError
from resemblance.data.sources.source import DataSplits, Source
from resemblance.data.text import share
from resemblance.methods.ensemble.model import make_ensemble
from resemblance.metrics.ensemble import EnsembleEvaluation, evaluate_ensemble
from resemblance.metrics.evaluation import Evaluation
from resemblance.runs.folders import in_folder, make_folder, write_text
from resemblance.runs.run import choose, split_seed

WIDE = 20


def run(options: EvaluateCommand) -> int:
    """Measure and print."""
    with screen(options.json) as out:
        if len(options.runs) > 1 and not options.ensemble:
            raise UserError(
                "evaluate measures one run; add --ensemble to put the answers of several together, or use "
                "report to see them side by side"
            )
        output = in_folder(options.output, "evaluation.json")
        if output:
            make_folder(output.parent)
        runs = [
            open_run(path, allow_import=options.allow_import, accelerator=options.accelerator)
            for path in options.runs
        ]
        if options.ensemble:
            make_ensemble([run.model for run in runs])  # refuses what is none before the images are opened
            _same_data(runs, options.data)
        splits = runs[0].images(options.data, options.skip_bad_images)
        for note in splits.notes:
            out.warn(note)
        name, source = choose(splits, options.split)
        if options.ensemble:
            document = _together(runs, splits, name, source, options, out)
        else:
            document = _alone(runs[0], splits, name, source, options, out)
        if output:
            write_text(output, json.dumps(document, indent=2, ensure_ascii=False))
            out.say(f"result: {output}")
        out.result(document)
    return 0


def _alone(
    run: Run, splits: DataSplits, split: str, source: Source, options: EvaluateCommand, out: Screen
) -> dict[str, Any]:
    found = evaluate(run, source, batch_size=options.batch_size, workers=options.workers, progress=True)
    out.say(f"{run.name}: {_right(found, split)}")
    before = found.black_box
    if before is None:
        before = (run.model.facts.get("black_box") or {}).get(split)
    if before is not None:
        out.say(f"black box: {share(before)}, gap {100 * (before - found.accuracy):+.2f} points")
    for label, value in found.measured.items():
        out.say(f"{label}: {share(value)}")
    if found.unused is not None:
        words = run.model.traits.words
        names = ": " + ", ".join(map(str, found.unused)) if found.unused else ""
        unused = f", {len(found.unused)} of them unused{names}" if words.rivals else ""
        out.say(f"{words.many}: {found.prototypes}{unused}")
    _tables(found, out)
    return {
        "run": run.name,
        "method": run.model.name,
        "data": splits.name,
        "split": split,
        **found.to_dict(),
    }


def _together(
    runs: list[Run],
    splits: DataSplits,
    split: str,
    source: Source,
    options: EvaluateCommand,
    out: Screen,
) -> dict[str, Any]:
    if split == "val" and len({(split_seed(run.config), run.config.get("val_fraction")) for run in runs}) > 1:
        out.warn(
            f"these are the validation images of {runs[0].name}; where the data bring none, runs with other "
            "seeds were trained on some of them"
        )
    found: EnsembleEvaluation = evaluate_ensemble(
        [run.model for run in runs],
        source,
        batch_size=options.batch_size,
        workers=options.workers,
        progress=True,
    )
    out.say(f"ensemble of {len(runs)} models, by the {found.rule}: {_right(found.whole, split)}")
    out.say()
    rows = [
        (run.name, run.model.name, share(one.accuracy)) for run, one in zip(runs, found.members, strict=True)
    ]
    out.table(("run", "method", "accuracy"), [*rows, ("together", "", share(found.whole.accuracy))])
    _tables(found.whole, out)
    document = found.to_dict()
    document["members"] = [
        {"run": run.name, "method": run.model.name, "score": run.model.traits.score_kind, **member}
        for run, member in zip(runs, document["members"], strict=True)
    ]
    return {"ensemble": [run.name for run in runs], "data": splits.name, "split": split, **document}


def _same_data(runs: list[Run], data: str | None) -> None:
    known = {str(run.config["data"]) for run in runs if run.config.get("data")}
    if data is None and len(known) > 1:
        raise UserError(f"the runs were made with different data ({', '.join(sorted(known))}); add --data")


def _right(found: Evaluation, split: str) -> str:
    return f"{share(found.accuracy)} of {found.images} {split} images told rightly"


def _tables(found: Evaluation, out: Screen) -> None:
    out.say()
    columns = ("class", "images", "precision", "recall", "F1")
    out.table(
        columns,
        [
            (row["class"], row["images"], *(_share(row[key]) for key in ("precision", "recall", "f1")))
            for row in found.per_class()
        ],
    )
    out.say()
    if len(found.classes) <= WIDE:
        rows = [(name, *counts) for name, counts in zip(found.classes, found.confusion.tolist(), strict=True)]
        out.table(("true \\ told", *found.classes), rows)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
